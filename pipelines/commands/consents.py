"""Runs the commands about consents: connect, and `consents` list, add, renew, revoke, erase, tend, rotate-key, trail."""

import argparse
import sys
import time
import webbrowser
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from pipelines.commands.cell_of import consents_of, of_consent, of_customer
from pipelines.commands.progress import progress_for
from pipelines.commands.run import run_and_report
from pipelines.commands.terminal import console, data_of, print_as_json, print_json, say, say_all, settings_of
from pipelines.consents.clients import command_client, has_vault, refuse_unconfigured, vault_of
from pipelines.consents.clock import check
from pipelines.consents.upkeep import can_be_ended, end_at_its_bank
from pipelines.errors import GOOD, PARTIAL, Busy, Failure, WrongUsage
from pipelines.read.options import Options, utc_now
from pipelines.read.windows import refuse_a_day_to_come
from pipelines.store.banks import KONTOMATIK, bank_named
from pipelines.store.lock import held, prepare
from pipelines.store.losses import missing_raw, missing_vault, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.consents.sign_in import Opening
    from pipelines.consents.vault import AuditEntry, Consent, Vault
    from pipelines.settings import Settings


def connect(options: argparse.Namespace) -> int:
    """Runs `connect kontomatik` and `connect kontist`."""
    if not bank_named(options.source).by_consent:
        from pipelines.commands.login import connect as log_in

        of_customer(options, settings_of(options))  # which a fleet refuses

        if options.since is not None:
            raise WrongUsage("`connect kontist` imports nothing, so --since has no effect", "Give --since to `run`")
        return log_in(options)
    refuse_a_day_to_come("--since", options.since, utc_now)
    settings = of_customer(options, _configured(options))
    only = Options((KONTOMATIK.name,), start_new=options.start_new)
    if options.mock:
        from pipelines.consents.sign_in import MockLogin, mock_opening

        if options.locale:
            raise WrongUsage("A mock session has no sign-in page, so --locale has no effect", "Leave it out")
        who = MockLogin(options.login, options.country, options.access_mode, options.owner_external_id)
        who.refuse_unknown(settings.kontomatik.dialect)
        openings = mock_opening(utc_now, options.since, who)
        return run_and_report(options, settings, only, command="connect", openings=lambda: openings)
    if options.login:
        raise WrongUsage("--login is for the test bank: at a real bank the customer signs in", "Leave it out, or add --mock")
    if not options.target:
        raise WrongUsage(
            "`connect kontomatik` needs --target, the bank", "See `python -m pipelines catalog`, or use --mock for the test bank"
        )
    opening = _sign_in(options, settings, options.target, options.access_mode, None, options.since)
    return _import_through(options, settings, opening, "connect")


def renew(options: argparse.Namespace) -> int:
    """Runs `consents renew ID`: a new sign-in. The old consent works until the new one's first good import, and ends then."""
    with vault_of(data_of(options)) as vault:
        old = vault.consent(options.consent_id)
    if old.is_login:
        from pipelines.commands.login import connect as log_in

        return log_in(options)
    settings = of_consent(_configured(options), old.consent_id)
    with vault_of(settings) as vault:
        quota = vault.quota.remaining(old.consent_id, settings.kontomatik.imports_per_day, utc_now())
    if old.status in ("revoking", "revoked", "erased", "replaced"):
        raise WrongUsage(f"Consent {old.consent_id} is {old.status}", "Connect the bank again with `connect kontomatik`")
    if quota.next_at is not None:
        raise Failure(
            f"All {settings.kontomatik.imports_per_day} imports of its accounts are used, and a sign-in is imported at once",
            f"The next one is possible at {quota.next_at:%Y-%m-%d %H:%M} UTC",
        )
    target = options.target or old.target or old.institution
    opening = _sign_in(options, settings, target, old.access_mode, old)
    return _import_through(options, settings, opening, "renew")


def _import_through(options: argparse.Namespace, settings: "Settings", opening: "Opening", command: str) -> int:
    """Imports at once. Waits for a scheduled run that holds the lock: by the next run the session is over."""
    patience = time.monotonic() + options.wait
    while True:
        try:
            only = Options((KONTOMATIK.name,), start_new=getattr(options, "start_new", False))
            return run_and_report(options, settings, only, command=command, openings=lambda: lambda _vault, _client: [opening])
        except Busy:
            if time.monotonic() >= patience:
                raise
            time.sleep(1)


def _sign_in(
    options: argparse.Namespace,
    settings: "Settings",
    target: str,
    access_mode: str,
    replaces: "Consent | None",
    since: date | None = None,
) -> "Opening":
    """Shows the bank's link and waits for the customer, without the lock: scheduled runs go on."""
    from pipelines.consents import sign_in

    redirect_url = sign_in.redirect_of(
        settings, options.redirect_url, "Give --redirect-url, or set sources.kontomatik.redirect_url to a page of yours"
    )
    sign_in.refuse_unknown_page(settings, options.country, options.locale)
    prepare(settings.data_dir)
    start_new = getattr(options, "start_new", False)
    with (
        vault_of(settings, start_new=start_new) as vault,
        command_client(settings, utc_now) as client,
        progress_for(options) as progress,
    ):
        if not start_new and settings.fleet.store is None:  # a cell's history may be in the store
            refuse(missing_raw(settings.data_dir, vault))  # before somebody signs in for nothing
        vault.check_it_can_store()
        check(settings, utc_now, vault)  # the days of a consent are counted from its sign-in
        consent, started = sign_in.start_sign_in(
            vault,
            client,
            target=target,
            access_mode=access_mode,
            now=utc_now(),
            owner_external_id=options.owner_external_id or (replaces.owner_external_id if replaces else None),
            redirect_url=redirect_url,
            replaces=replaces,
            since=since,
            country=options.country or "",
            locale=options.locale or "en",
        )
        say(f"Sign in at the bank: {started.link}", error=True)
        if options.open:
            webbrowser.open(started.link)
        return sign_in.wait_for_sign_in(
            vault,
            client,
            consent,
            seconds=options.wait,
            every=settings.kontomatik.poll_interval,
            now=utc_now,
            sleep=time.sleep,
            progress=lambda waited: progress.stage(f"Waiting for the sign-in at the bank, {waited:.0f} s"),
        )


def show_list(options: argparse.Namespace) -> int:
    """Runs `consents` and `consents list`."""
    from pipelines.consents.consent_status import consent_statuses
    from pipelines.questions.status import show_consents

    settings = data_of(options)
    if not has_vault(settings):
        refuse(missing_vault(settings))
    customer = getattr(options, "customer", None)
    settings, theirs = (settings, None) if customer is None else consents_of(settings, customer)
    listed = [one for one in consent_statuses(settings) if theirs is None or one.consent_id in theirs]
    place = {} if customer is None else {"customer": customer, "cell": settings.cell, "data_dir": str(settings.data_dir)}
    if options.json:
        print_json(place | {"consents": [asdict(one) for one in listed]})
        return GOOD
    if place:
        say(f"Customer {customer} is in {settings.cell}: {settings.data_dir}")
    show_consents(listed, console())
    return GOOD


def add(options: argparse.Namespace) -> int:
    """Runs `consents add kontomatik`: the token comes on standard input, or unseen at a prompt."""
    from pipelines.consents.sign_in import add_token

    settings = of_customer(options, settings_of(options))
    refuse_a_day_to_come("--signed-in", options.signed_in, utc_now)
    if sys.stdin.isatty():
        from getpass import getpass

        token = getpass("Token (not shown): ")
    else:
        token = sys.stdin.read()
    if not bank_named(options.source).by_consent:
        from pipelines.commands.login import add as add_login

        return add_login(options, token)
    prepare(settings.data_dir)
    now = datetime.now(UTC)
    signed_in = min(now, datetime.combine(options.signed_in, now.timetz())) if options.signed_in else now
    with vault_of(settings) as vault:
        consent = add_token(
            vault,
            token,
            institution=options.institution,
            target=options.target,
            access_mode=options.access_mode,
            signed_in=signed_in,
        )
    say(f"Stored consent {consent.consent_id} ({consent.institution}), {consent.days_left(now)} days left.")
    return GOOD


def revoke(options: argparse.Namespace) -> int:
    """Runs `consents revoke ID`: done when the bank has confirmed it."""
    settings = data_of(options)
    with vault_of(settings) as vault:
        end_at_its_bank(settings, vault, options.consent_id, utc_now)
        consent = vault.consent(options.consent_id)
    if options.json:
        print_json({"consent_id": consent.consent_id, "status": consent.status, "reason": consent.status_reason})
    else:
        say(f"Consent {consent.consent_id} is {consent.status}: {consent.status_reason}.")
    return GOOD


def erase(options: argparse.Namespace) -> int:
    """Runs `consents erase ID`: ends the consent if it is not over, then removes what it brought. Asks a person first.

    Nothing is recorded before the settings are known to reach the bank and somebody has confirmed it.
    """
    from pipelines.consents import erase as erasing

    settings = data_of(options)
    settings = of_consent(settings, options.consent_id)
    if options.cancel:
        return _cancel(options, settings)
    with vault_of(settings) as vault:
        consent = vault.consent(options.consent_id)
        if consent.status == "erased":
            say(f"Consent {consent.consent_id} is erased already; its receipt is in {settings.data_dir / 'receipts'}.")
            return GOOD
        if settings.fleet.store is None:  # a cell's history may be in the store
            refuse(missing_raw(settings.data_dir, vault))
        can_be_ended(settings, vault, consent.consent_id, utc_now)
        _surely(options, consent)
        if settings.cell is not None:
            return _erase_by_the_next_run(options, settings, vault)
        with held(settings.data_dir, "erase"):
            vault.ask_erasure(consent.consent_id, utc_now(), options.reason)
            try:
                with erasing.pending(settings.data_dir, vault, consent.consent_id):
                    end_at_its_bank(settings, vault, consent.consent_id, utc_now)
                    receipt = erasing.erase(settings, vault, vault.consent(consent.consent_id), utc_now)
            except KeyboardInterrupt:
                say(erasing.what_is_pending(settings.data_dir, vault.consent(consent.consent_id)) + ".", error=True)
                raise
    if options.json:
        print_as_json(receipt.read_text(encoding="utf-8"))
    else:
        say_all(receipt.with_suffix(".txt").read_text(encoding="utf-8"))
        say(f"Kept as {receipt}; its SHA-256 is in the audit trail.")
    return GOOD


def _erase_by_the_next_run(options: argparse.Namespace, settings: "Settings", vault: "Vault") -> int:
    """Ends a consent of a fleet and has the next run of its cell erase it: that alone may change the cell's raw history."""
    vault.ask_erasure(options.consent_id, utc_now(), options.reason)
    end_at_its_bank(settings, vault, options.consent_id, utc_now)
    consent = vault.consent(options.consent_id)
    if options.json:
        print_json({"consent_id": consent.consent_id, "status": consent.shown, "cell": settings.cell})
    else:
        say(f"The erasure of consent {consent.consent_id} is recorded; the next `fleet run` does it in {settings.cell}.")
    return GOOD


def _cancel(options: argparse.Namespace, settings: "Settings") -> int:
    """Runs `consents erase ID --cancel`: withdraws a pending erasure. A revocation that the bank was asked for stands."""
    from pipelines.consents.erase import cancel

    with held(settings.data_dir, "erase --cancel"), vault_of(settings) as vault:
        if settings.cell is not None and vault.consent(options.consent_id).status == "revoked":
            raise WrongUsage(
                f"The bank has ended consent {options.consent_id}, and a run of its cell may have begun the erasure",
                "It cannot be withdrawn any more",
            )
        cancel(settings.data_dir, vault, options.consent_id, utc_now())
        consent = vault.consent(options.consent_id)
    if options.json:
        print_json({"consent_id": consent.consent_id, "status": consent.shown, "reason": consent.status_reason})
        return GOOD
    say(f"The erasure of consent {consent.consent_id} is withdrawn; the consent is {consent.status}, its data stays.")
    if consent.status == "revoking":
        say("Its revocation goes on, because the bank may have ended it already.")
    return GOOD


def maintain(options: argparse.Namespace) -> int:
    """Runs `consents tend`: warnings, expiry, revocations and erasures; no import. For a schedule of its own."""
    from pipelines.consents import upkeep
    from pipelines.notify.dispatch import dispatch_notices

    settings = data_of(options)
    warnings = upkeep.watch(settings, utc_now)
    tidied = upkeep.tidy(settings, utc_now)
    dispatched = dispatch_notices(settings, utc_now)
    if options.json:
        print_json({"warnings": warnings, **tidied.__dict__, "notices": [notice.event for notice in dispatched.fresh]})
    else:
        for sentence in [*(f"- {warning}" for warning in warnings), *tidied.sentences()] or ["Nothing to do."]:
            say(sentence)
    for sentence in dispatched.sentences():
        say(f"! {sentence}", error=True)
    return PARTIAL if tidied.troubles else GOOD


def rotate_key(options: argparse.Namespace) -> int:
    """Runs `consents rotate-key`: encrypts everything with the first key of `pipelines.vault_key`."""
    settings = data_of(options)
    if not settings.vault_key or "," not in settings.vault_key:
        raise WrongUsage(
            "Rotation needs both keys: pipelines.vault_key = NEW,OLD",
            "Print a new one with `python -m pipelines doctor --new-vault-key`, put it in front, and run this again",
        )
    with held(settings.data_dir, "rotate-key"), vault_of(settings) as vault:
        count = vault.keyring.rotate()
    say(f"{count} keys are encrypted with the first vault key now. Remove the old one from pipelines.vault_key.")
    return GOOD


def trail(options: argparse.Namespace) -> int:
    """Runs `consents trail [ID]`: who did what, when, and with what outcome."""
    with vault_of(data_of(options)) as vault:
        entries = vault.trail(options.consent_id)
    return show_trail(options, entries, "Audit trail")


def show_trail(options: argparse.Namespace, entries: "Sequence[AuditEntry]", title: str) -> int:
    """Shows lines of the audit trail, for people or as JSON."""
    if options.json:
        print_json({"trail": [entry.__dict__ for entry in entries]})
        return GOOD
    from pipelines.text import tables

    rows = [(f"{one.at:%Y-%m-%d %H:%M:%S}", one.who, one.consent_id, one.what, one.outcome) for one in entries]
    tables.show(console(), title, ("at", "who", "consent", "what", "outcome"), rows)
    return GOOD


def _surely(options: argparse.Namespace, consent: "Consent") -> None:
    """Asks a person whether to erase for good. Raises `Failure` when the answer is no, `WrongUsage` when nobody can be asked."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise WrongUsage(
            f"Nobody can be asked whether to erase consent {consent.consent_id}, and --yes is not given; nothing was recorded",
            "Run it at a terminal, or give --yes",
        )
    say(
        f"This ends consent {consent.consent_id} ({consent.institution}, {consent.shown}) and removes for good what only it"
        " brought. Go on? [y/N] ",
        error=True,
        end="",
    )
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        waits = "the erasure asked for before still waits" if consent.erasing else "nothing was recorded"
        raise Failure(f"Nothing was erased, and {waits}", "Run it again and answer y, or give --yes")


def _configured(options: argparse.Namespace) -> "Settings":
    settings = settings_of(options)
    refuse_unconfigured(settings)
    return settings
