"""Finds what is wrong with this installation, and how to fix it. Asks the banks only for what costs nothing."""

import shlex
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.consents.clients import has_vault, kontomatik_client, vault_of
from pipelines.consents.clock import bank_time, jumped
from pipelines.errors import Failure
from pipelines.questions import file_findings, kontist_findings
from pipelines.questions.finding import Finding
from pipelines.questions.found_losses import found as found_losses
from pipelines.report_page.page_options import FILE as PAGE
from pipelines.settings import Dialect, Settings
from pipelines.store.lock import prepare
from pipelines.store.private import open_files, rights_of_others
from sources._errors import SourceError

if TYPE_CHECKING:
    from rich.console import Console

CLOCK_MAY_DIFFER = 120.0
"""Seconds. More than this and tokens are taken for expired, or windows end on the wrong day."""
SPACE_NEEDED = 3
"""Times the size of raw history: the copy that a run works on, the new ledger, room to spill."""


def examine(settings: Settings, now: Callable[[], datetime]) -> list[Finding]:
    """Checks everything. Never raises: what cannot be checked is a finding."""
    # first: opening a vault closes it to others
    ours = [*_versions(), *_secrets(), *_data_dir(settings), _memory(settings), *_vault(settings), *_losses(settings)]
    ours += _closed_months(settings)
    banks = [finding for look in BANK_LOOKS.values() for finding in look(settings, now)]
    return [*ours, *file_findings.look(settings, now), *banks, *_clock(settings, now)]


def _versions() -> Iterator[Finding]:
    versions = ", ".join(f"{name} {version(name)}" for name in ("dlt", "duckdb", "pyarrow", "prefect"))
    yield Finding("versions", "fine", versions)


def _data_dir(settings: Settings) -> Iterator[Finding]:
    try:
        prepare(settings.data_dir)
    except Failure as failure:
        yield Finding("data directory", "wrong", failure.cause, failure.next_step)
        return
    free = shutil.disk_usage(settings.data_dir).free
    raw = settings.data_dir / "raw.duckdb"
    needed = SPACE_NEEDED * (raw.stat().st_size if raw.exists() else 0)
    if free < needed:
        found = f"{free // 2**20} MiB free, a run may need {needed // 2**20}"
        yield Finding("disk", "wrong", found, "Make room before the next run")
    else:
        yield Finding("data directory", "fine", f"{settings.data_dir}, {free // 2**20} MiB free")
    yield from _readers(settings.data_dir)
    if raw.exists():
        yield _raw(settings)
    yield from _page(settings.data_dir / "ledger.duckdb")


def _memory(settings: Settings) -> Finding:
    chosen = "set by pipelines.memory_mb" if settings.memory_mb else "a share of what is free"
    return Finding("memory", "fine", f"DuckDB uses up to {settings.memory_limit}, {chosen}")


def _secrets() -> Iterator[Finding]:
    """Checks whether other users of this machine can read the secret settings."""
    path = Path.cwd() / ".dlt" / "secrets.toml"
    if rights_of_others(path):
        yield Finding("secrets", "wrong", f"{path} can be read by others", f"chmod 600 {shlex.quote(str(path))}")


def _readers(data_dir: Path) -> Iterator[Finding]:
    """Checks who else may read the data directory, or write there."""
    others, quoted = rights_of_others(data_dir), shlex.quote(str(data_dir))
    if others & 0o022:
        yield Finding("data directory access", "wrong", f"{data_dir} can be written by others", f"chmod go-w {quoted}")
    elif others:
        found = f"{data_dir} is open to others: they can read its ledger.duckdb, and no other file"
        yield Finding("data directory access", "note", found, f"If nobody else shall read the ledger: chmod 700 {quoted}")
    if files := [path for path in open_files(data_dir) if path.name != "vault.sqlite"]:  # which has a finding of its own
        names = ", ".join(str(path.relative_to(data_dir)) for path in files[:3]) + (" and more" if len(files) > 3 else "")
        closes = f"chmod go-rwx {' '.join(shlex.quote(str(path)) for path in files)}"
        yield Finding("files", "wrong", f"others can read {names} in {data_dir}", f"{closes}, or leave it to the next run")


def _raw(settings: Settings) -> Finding:
    import duckdb

    from pipelines.store.read_only import read_only

    raw = settings.data_dir / "raw.duckdb"
    try:
        with read_only(raw) as connection:
            connection.execute("select count(*) from duckdb_tables()").fetchall()
    except duckdb.Error as error:
        previous = raw.with_name("raw.previous.duckdb")
        return Finding(
            "raw history", "wrong", f"{raw} cannot be read ({type(error).__name__})", f"`mv {previous} {raw}`, then run"
        )
    return Finding("raw history", "fine", "readable")


def _page(ledger: Path) -> Iterator[Finding]:
    """Checks whether the page beside the ledger shows it: a run that dies between the two renames leaves the page before."""
    import duckdb

    from pipelines.store.published_page import is_outdated

    with suppress(duckdb.Error):  # a ledger that cannot be read has no page to compare
        if ledger.exists() and is_outdated(ledger):
            found = f"{ledger.with_name(PAGE)} shows another ledger than the one beside it"
            yield Finding("page", "wrong", found, "`python -m pipelines report` draws it again; the next run does, too")


def _losses(settings: Settings) -> Iterator[Finding]:
    for loss in found_losses(settings):
        yield Finding("lost", "wrong", loss.cause, loss.next_step)


def _closed_months(settings: Settings) -> Iterator[Finding]:
    """Compares the trail of closings with itself and with raw history, as `close --verify` does."""
    from pipelines.questions.closing_verification import verified
    from pipelines.text.numbers import counted

    if settings.cell is not None:  # another machine may have closed months of it: `close --verify` asks for that first
        return
    try:
        found = verified(settings)
    except Failure:
        return  # the finding about the vault, or raw history, says why
    compared = f"{counted(len(found.months), 'month')} and {counted(len(found.records), 'record')} of the trail"
    if found.faults:
        more = f", and {len(found.faults) - 1} more" if len(found.faults) > 1 else ""
        yield Finding("closed months", "wrong", f"{found.faults[0]}{more}", "`close --verify` lists every fault")
    elif found.newest is not None:
        found_text = f"{compared} are as they were written, the newest is record {found.newest.number}"
        yield Finding("closed months", "fine", found_text)


def _vault(settings: Settings) -> Iterator[Finding]:
    if not settings.vault_key:
        yield Finding(
            "vault key", "note", "not set: no consent can be stored", "`doctor --new-vault-key`, then pipelines.vault_key"
        )
    if not has_vault(settings):
        yield Finding("vault", "note", "there is none yet", "`connect` or `consents add` makes it")
        return
    path = settings.data_dir / "vault.sqlite"
    if settings.vault_url is None and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("vault permissions", "wrong", f"{path} can be read by others", f"chmod 600 {path}")
    try:
        with vault_of(settings) as vault:
            listed = vault.consents()
            for consent in listed:
                if consent.has_token:
                    vault.token(consent.consent_id)
            soon = [one.consent_id for one in listed if one.status == "expiring"]
    except Failure as failure:
        yield Finding("vault", "wrong", failure.cause, failure.next_step)
        return
    yield Finding("vault", "fine", f"{len(listed)} consents, every token opens with the vault key")
    if soon:
        yield Finding("consents", "note", f"{', '.join(soon)} end within 30 days", "`consents renew ID`")


def _kontomatik(settings: Settings, now: Callable[[], datetime]) -> Iterator[Finding]:
    if not settings.kontomatik.configured:
        yield Finding("kontomatik", "note", "no api_key: left out of runs", "Set sources.kontomatik.api_key in .dlt/secrets.toml")
        return
    try:
        with kontomatik_client(settings, now) as client:
            client.health()
            yield Finding("kontomatik health", "fine", f"{settings.kontomatik.base_url} answers")
            institutions = client.catalog()
        found = f"the key is accepted, dialect {settings.kontomatik.dialect} is understood, {len(institutions)} banks"
        yield Finding("kontomatik key and dialect", "fine", found)
    except SourceError as error:
        yield _other_dialect(settings, now) or Finding("kontomatik", "wrong", error.cause, error.next_step)
        return


def _other_dialect(settings: Settings, now: Callable[[], datetime]) -> Finding | None:
    """Returns a finding if the service understands the other dialect."""
    ours = settings.kontomatik.dialect
    other: Dialect = "live" if ours == "openapi" else "openapi"
    try:
        with kontomatik_client(replace(settings, kontomatik=replace(settings.kontomatik, dialect=other)), now) as client:
            client.catalog()
    except SourceError:
        return None
    found = f"the service understands the dialect {other}, and {ours} is set"
    return Finding("kontomatik dialect", "wrong", found, f'Set sources.kontomatik.dialect to "{other}"')


BANK_LOOKS: Mapping[str, Callable[[Settings, Callable[[], datetime]], Iterator[Finding]]] = {
    "kontomatik": _kontomatik,
    "kontist": kontist_findings.look,
}
"""Looks at what is configured of each bank, and whether it answers."""


def _clock(settings: Settings, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Compares our clock with the `Date` of a bank's answer, else with what it showed when it was last right."""
    try:
        with vault_of(settings) if has_vault(settings) else nullcontext() as vault:
            bank, bank_says = bank_time(settings, vault)
    except Failure:
        return  # said of the vault
    apart = (now() - bank_says).total_seconds() if bank_says else 0.0
    jump = jumped(settings.data_dir, now())
    if bank_says is None and jump:
        yield Finding("clock", "wrong", jump, "Set this machine's clock (ntp); until it is right nothing is read or expires")
    elif bank and bank_says is None:
        yield Finding("clock", "note", "the bank's answer gives no time", "Check this machine's clock")
    elif abs(apart) > CLOCK_MAY_DIFFER:
        found = f"{abs(apart):.0f} s apart from the bank's" + (f". {jump}" if jump else "")
        yield Finding("clock", "wrong", found, "Set this machine's clock (ntp)")
    elif bank_says is not None:
        yield Finding("clock", "fine", "agrees with the bank's")


def show(findings: list[Finding], console: "Console") -> None:
    """Shows the findings, a line each."""
    from pipelines.text import tables

    signs = {"fine": "✓", "note": "–", "wrong": "!"}
    for finding in findings:
        line = f"{signs[finding.level]} {finding.about}: {finding.found}"
        tables.say(console, line + (f". {finding.remedy}." if finding.remedy else ""))
