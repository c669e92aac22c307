"""Runs the commands that ask or copy without a change: status, doctor, prove, explain, export."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.progress import progress_for
from pipelines.commands.terminal import console, data_of, print_json, say, say_all, settings_of, tell
from pipelines.errors import CHECKS_FAILED, FAILED, GOOD, PARTIAL, Failure

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.questions.ask_bank import Question
    from pipelines.questions.explain import Explanation
    from pipelines.settings import Settings


def prove(options: argparse.Namespace) -> int:
    """Runs `prove`; returns 0 when every day was seen and nothing differs, else 3. Without an account it lists all of them."""
    from pipelines.questions import closed_views
    from pipelines.questions.prove import certificate, certificates, show, text
    from pipelines.read.options import utc_now
    from pipelines.read.windows import refuse_a_day_to_come
    from pipelines.store.ledger_reader import ledger_of
    from pipelines.store.losses import missing_raw, other_ledger, refuse

    refuse_a_day_to_come("--from", options.first, utc_now)

    settings = data_of(options)
    data_dir = settings.data_dir
    with ledger_of(data_dir, memory=settings.memory_limit) as connection:
        refuse(missing_raw(data_dir), other_ledger(data_dir))  # of which it could not certify anything
        if options.account is None:
            listed = certificates(connection, options.first, options.last)
        else:
            listed = [certificate(connection, options.account, options.first, options.last)]
        views = [closed_views.closed_views(connection, one.account["account_id"], options.first, options.last) for one in listed]
    complete = all(one.complete for one in listed)
    shown = [one.as_json() | {"closed_months": [view.as_json() for view in own]} for one, own in zip(listed, views, strict=True)]
    if options.json:
        print_json({"complete": complete, "certificates": shown} if options.account is None else shown[0])
    elif options.account is None:
        show(listed, console())
        names = [one.account["display_name"] for one in listed]
        if closed := closed_views.text_of_accounts(zip(names, views, strict=True)):
            say_all(closed)
    else:
        say_all("\n".join(filter(None, (text(listed[0]), closed_views.text(views[0])))))
    return GOOD if complete else CHECKS_FAILED


def owners(options: argparse.Namespace) -> int:
    """Runs `owners`. With `--reveal` it shows national ids, where they are kept, and the audit trail says who looked."""
    from pipelines.questions.owners import owners as of_ledger
    from pipelines.questions.owners import revealed
    from pipelines.store.ledger_reader import ledger_of
    from pipelines.text import tables

    settings = data_of(options)
    with ledger_of(settings.data_dir, memory=settings.memory_limit) as connection:
        listed = of_ledger(connection)
    if options.reveal:
        listed = revealed(listed, _national_ids(settings, {one.owner_id for one in listed}))
    if options.json:
        shown = [asdict(one) for one in listed]
        for one in shown if not options.reveal else ():
            del one["national_id"]
        print_json({"owners": shown})
        return GOOD
    heads = ("owner", "name", "kind", "accounts", "consents") + (("national id",) if options.reveal else ())
    rows = [
        (one.owner_id, one.name or "·", one.kind or "·", str(len(one.accounts)), ", ".join(one.consents))
        + ((one.national_id or "·",) if options.reveal else ())
        for one in listed
    ]
    tables.show(console(), "Owners", heads, rows)
    return GOOD


def _national_ids(settings: "Settings", owner_ids: set[str]) -> dict[str, str]:
    """Returns the national ids that the vault keeps of these owners, by owner id. Raises `Failure` where it keeps none."""
    from pipelines.consents.clients import vault_of
    from pipelines.read.options import utc_now

    found: dict[str, str] = {}
    with vault_of(settings) as vault:
        for consent in vault.consents():
            kept = vault.national_ids.by_owner(consent.consent_id)
            if numbers := {owner: number for owner, number in kept.items() if owner in owner_ids}:
                vault.note(consent.consent_id, "national ids shown", f"{len(numbers)} owners", utc_now())
                found |= numbers
    if not found:
        raise Failure(
            "No national id is kept",
            "Set sources.kontomatik.keep_national_ids = true: the next import of each consent brings them, if the bank gives any",
        )
    return found


def explain(options: argparse.Namespace) -> int:
    """Runs `explain`. A bank that cannot be asked ends `--ask-bank` with 1; the explanation is shown all the same."""
    from pipelines.questions.explain import explanation, text
    from pipelines.store.ledger_reader import ledger_of

    settings = data_of(options)
    with ledger_of(settings.data_dir, with_raw=True, memory=settings.memory_limit) as connection:
        explained = explanation(connection, options.transaction_id)
        asked = _question(connection, explained) if options.ask_bank else None
    if asked is not None:
        return _ask_bank(options, settings, explained, asked)
    if options.json:
        print_json(explained.as_json())
    else:
        say_all(text(explained))
    return GOOD


def _question(connection: "DuckDBPyConnection", explained: "Explanation") -> "Question":
    from pipelines.questions.ask_bank import question  # the imports of a login cost more than the explanation

    return question(connection, explained)


def _ask_bank(options: argparse.Namespace, settings: "Settings", explained: "Explanation", asked: "Question") -> int:
    from pipelines.questions import ask_bank
    from pipelines.questions.explain import text
    from pipelines.read.options import utc_now

    with ask_bank.login_of(settings, utc_now) as kept:
        if not options.json:
            say_all(text(explained), end="\n\n")  # before the bank is waited for
        try:
            bank = ask_bank.answer(kept, asked)
        except Failure as failure:
            if not options.json:
                raise
            say(failure, error=True)
            ending = {"bank": None, "status": "failed", "error": str(failure), "exit_status": failure.exit_status}
            print_json(explained.as_json() | ending)
            return failure.exit_status
    if options.json:
        print_json(explained.as_json() | {"bank": asdict(bank)})
    else:
        say_all(ask_bank.text(explained, bank))
    return GOOD


def export(options: argparse.Namespace) -> int:
    """Runs `export`."""
    from pipelines.questions.exports import Export, files
    from pipelines.questions.statements import Selection
    from pipelines.store.ledger import SEEDS
    from pipelines.store.ledger_reader import ledger_of
    from pipelines.store.private import EXPORT, closed_to_others, rights_of_others

    settings = data_of(options)
    data_dir = settings.data_dir
    folder = options.out.expanduser().absolute() if options.out else data_dir / EXPORT
    with closed_to_others(), ledger_of(data_dir, memory=settings.memory_limit) as connection, progress_for(options) as progress:
        written: list[Path] = []
        notes: list[str] = []
        # Where the person chose the folder, those who may read a file there may read the next one.
        readers = {path.name: rights_of_others(path) & 0o044 for path in folder.glob("*.*")} if options.out else {}
        progress.stage(f"Writing {options.format}")
        selection = Selection(
            first=options.first,
            last=options.last,
            account=options.account,
            per=options.per,
            allow_incomplete=options.allow_incomplete,
        )
        asked = Export(folder, notes.append, selection, data_dir / SEEDS, options.skr)
        for path in files(connection, options.format, asked):
            if readers.get(path.name):
                path.chmod(0o600 | readers[path.name])
            written.append(path)
            progress.stage(f"Wrote {path.name}")
    if options.json:
        print_json({"format": options.format, "files": written, "notes": notes})
    else:
        where = f"Wrote {written[0]}." if len(written) == 1 else f"Wrote {len(written)} files to {folder}."
        tell(options, where, *(f"- {note}" for note in notes))
    return GOOD


def status(options: argparse.Namespace) -> int:
    """Runs `status`. With `--max-age` it ends with 4 when a person has to look, and says why on standard error."""
    from pipelines.questions import metrics
    from pipelines.questions.status import gather, show
    from pipelines.read.options import utc_now
    from pipelines.run import freshness

    settings, now = data_of(options), utc_now()
    standing = gather(settings)
    content = asdict(standing) | {"closed_changes": [one.named() for one in standing.closed_changes]}
    watched = options.max_age is not None or options.openmetrics is not None
    wanted = freshness.expected(settings, standing.accounts) if watched else None
    troubles = []
    if wanted is not None and options.max_age is not None:
        troubles = freshness.overdue_sentences(standing.accounts, wanted, options.max_age, now, clock=standing.clock)
        content["troubles"] = troubles
    if wanted is not None and options.openmetrics is not None:
        text = metrics.exposition(standing, wanted, now)
        if str(options.openmetrics) == "-":
            say_all(text, end="")
        else:
            metrics.write(options.openmetrics, text)
    elif options.json:
        print_json(content)
    else:
        show(standing, console())
    for sentence in troubles:
        say(f"! {sentence}", error=True)
    if standing.lost:
        return FAILED
    return PARTIAL if troubles else GOOD


def doctor(options: argparse.Namespace) -> int:
    """Runs `doctor`."""
    if options.new_vault_key:
        from pipelines.consents.keyring import new_vault_key

        say(new_vault_key())
        return GOOD
    from pipelines.questions.doctor import examine, show
    from pipelines.read.options import utc_now

    findings = examine(settings_of(options), utc_now)
    if options.json:
        print_json({"findings": [finding.__dict__ for finding in findings]})
    else:
        show(findings, console())
    return FAILED if any(finding.level == "wrong" for finding in findings) else GOOD
