"""The commands that ask the ledger and raw history, or copy from them: prove, explain, export, rates."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import CHECKS_FAILED, GOOD, Failure, WrongUsage
from pipelines.terminal import data_of, print_json, progress_for, say, say_all, settings_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.ask_bank import Question
    from pipelines.settings import Settings


def prove(options: argparse.Namespace) -> int:
    """`prove`: 0 when every day was seen and nothing differs, else 3."""
    from pipelines.losses import missing_raw, other_ledger, refuse
    from pipelines.prove import certificate, text
    from pipelines.reading import ledger_of
    from pipelines.run import utc_now
    from pipelines.windows import refuse_a_day_to_come

    refuse_a_day_to_come("--from", options.first, utc_now)

    data_dir = data_of(options).data_dir
    with ledger_of(data_dir) as connection:
        refuse(missing_raw(data_dir), other_ledger(data_dir))  # of which it could not certify anything
        told = certificate(connection, options.account, options.first, options.last)
    if options.json:
        print_json(told)
    else:
        say_all(text(told))
    return GOOD if told["complete"] else CHECKS_FAILED


def explain(options: argparse.Namespace) -> int:
    """`explain`. A bank that cannot be asked ends `--ask-bank` with 1; what raw history knows is told all the same."""
    from pipelines.explain import explanation, text
    from pipelines.reading import ledger_of

    settings = data_of(options)
    with ledger_of(settings.data_dir, with_raw=True) as connection:
        told = explanation(connection, options.transaction_id)
        asked = _question(connection, told) if options.ask_bank else None
    if asked is not None:
        return _ask_bank(options, settings, told, asked)
    if options.json:
        print_json(told)
    else:
        say_all(text(told))
    return GOOD


def _question(connection: "DuckDBPyConnection", told: dict[str, Any]) -> "Question":
    from pipelines.ask_bank import question  # what it takes to log in costs more than the explanation

    return question(connection, told)


def _ask_bank(options: argparse.Namespace, settings: "Settings", told: dict[str, Any], asked: "Question") -> int:
    from pipelines import ask_bank
    from pipelines.explain import text
    from pipelines.run import utc_now

    with ask_bank.login_of(settings, utc_now) as kept:
        if not options.json:
            say_all(text(told), end="\n\n")  # before the bank is waited for
        try:
            told["bank"] = ask_bank.answer(kept, asked)
        except Failure as failure:
            if not options.json:
                raise
            say(failure, error=True)
            print_json(told | {"bank": None, "status": "failed", "error": str(failure), "exit_status": failure.exit_status})
            return failure.exit_status
    if options.json:
        print_json(told)
    else:
        say_all(ask_bank.text(told))
    return GOOD


def export(options: argparse.Namespace) -> int:
    """`export`."""
    from pipelines.exports import FORMATS
    from pipelines.private import closed_to_others, rights_of_others
    from pipelines.reading import ledger_of

    data_dir = data_of(options).data_dir
    folder = options.out.expanduser().absolute() if options.out else data_dir / "export"
    with closed_to_others(), ledger_of(data_dir) as connection, progress_for(options) as progress:
        written: list[Path] = []
        # Where the person chose the folder, those who may read a file there may read the next one.
        readers = {path.name: rights_of_others(path) & 0o044 for path in folder.glob("*.*")} if options.out else {}
        for path in FORMATS[options.format](connection, folder):
            if readers.get(path.name):
                path.chmod(0o600 | readers[path.name])
            written.append(path)
            progress.stage(f"Wrote {path.name}")
    if options.json:
        print_json({"format": options.format, "files": written})
    else:
        say(f"Wrote {len(written)} file{'s' if len(written) > 1 else ''} to {folder}.")
    return GOOD


def rates(options: argparse.Namespace) -> int:
    """`rates`."""
    from pipelines.lock import held
    from pipelines.rates import fetched, kept

    if (options.file is None) == (options.url is None):
        raise WrongUsage("`rates` reads one file or one address", "Give either --file or --url")
    settings = settings_of(options)
    found = fetched(options.file, options.url)
    with held(settings.data_dir, "rates"):
        kept(settings, found)
    days = sorted({str(day) for day in found.column("day").to_pylist()})
    currencies = sorted(set(found.column("currency").to_pylist()))
    if options.json:
        print_json({"rates": found.num_rows, "currencies": currencies, "from": days[0], "to": days[-1]})
    else:
        say(f"Loaded {found.num_rows:,} rates of {len(currencies)} currencies, {days[0]} to {days[-1]}.")
    return GOOD
