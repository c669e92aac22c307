"""Erases what a revoked consent brought: its rows in raw history and the ledger, and its key; writes a receipt as proof.

The request stands until the erasure is done. Every step may be repeated, so the next run finishes after a crash anywhere.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.consents.closing_trail import ClosingTrail
from pipelines.consents.consent_rows import accounts_of_files, brought, joined_accounts, remove_rows
from pipelines.consents.vault import ERASURE_ASKED, NO_REASON, Consent, Vault
from pipelines.errors import Failure, WrongUsage
from pipelines.settings import Settings
from pipelines.store import dlt_folder, leftovers, run_history, unfinished
from pipelines.store.atomic_files import replace_text
from pipelines.store.banks import read_without_consent
from pipelines.store.losses import histories_of, missing_raw, refuse
from pipelines.store.private import EXPORT, HISTORY
from pipelines.text.sinks import line

if TYPE_CHECKING:
    from pipelines.store.raw_copy import HistoryKeeper

OUTSIDE = "copies in other places (exports with --out, backups, BI tools) are not known here: remove those that hold its accounts"
BESIDE = {
    EXPORT: "files of other kinds, behind a link or locked are left; remove those that hold its accounts",
    "seeds": "your own rules are not touched; remove what names its people or account numbers",
}
"""Folders of the data directory that an erasure leaves alone, and what is left to do there."""


@dataclass(kw_only=True)
class Receipt:
    """The proof of an erasure: what was removed, when, by whom and why, and what was kept and why.

    Names no customer, account number or amount. Its SHA-256 stands in the audit trail.
    """

    consent_id: str
    institution: str
    asked_at: str
    asked_by: str
    reason: str
    revoked: str
    version: str
    erased_by: str
    erased_at: str = ""
    accounts_removed: int = 0
    rows_removed: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Returns the receipt for people."""
        rows = "\n".join(f"  {table}: {count}" for table, count in sorted(self.rows_removed.items()))
        kept = "\n".join(f"  - {reason}" for reason in self.kept)
        steps = "\n".join(f"  - {step}" for step in self.steps)
        return (
            f"Receipt of erasure\n\nConsent {self.consent_id} ({line(self.institution)})\n"
            f"Asked for: {self.asked_at} by {self.asked_by}\nReason: {self.reason}\nConsent at the bank: {self.revoked}\n"
            f"Erased: {self.erased_at} by {self.erased_by}, kontoledger {self.version}\n"
            f"Accounts removed: {self.accounts_removed}\n\n"
            f"Rows removed per table:\n{rows or '  none'}\n\nDone:\n{steps}\n\nKept, and why:\n{kept}\n"
        )


def finish_erasures(
    settings: Settings, vault: Vault, now: Callable[[], datetime], keeper: "HistoryKeeper | None" = None
) -> list[str]:
    """Erases each consent for which that was asked and whose end the bank has confirmed; returns a sentence for each."""
    sentences = []
    for consent in vault.consents(status=("revoked",)):
        if consent.erase_asked_at is not None:
            with pending(settings.data_dir, vault, consent.consent_id):
                path = erase(settings, vault, consent, now, keeper)
            sentences.append(f"consent {consent.consent_id} is erased: {path}")
    return sentences


@contextmanager
def pending(data_dir: Path, vault: Vault, consent_id: str) -> Iterator[None]:
    """Adds to a failure of what the block does that the erasure is recorded, and whether it can be withdrawn."""
    try:
        yield
    except Failure as failure:
        if (consent := vault.consent(consent_id)).erasing:
            failure.also(what_is_pending(data_dir, consent))
        raise


def what_is_pending(data_dir: Path, consent: Consent) -> str:
    """Returns a sentence: the erasure is recorded, when it is finished, and how it is withdrawn."""
    consent_id = consent.consent_id
    if _has_begun(data_dir / "receipts", consent):
        return f"The erasure of consent {consent_id} has begun and cannot be withdrawn; the next run finishes it"
    return (
        f"The erasure of consent {consent_id} is recorded, and the next run tries again;"
        f" `python -m pipelines consents erase {consent_id} --cancel` withdraws it"
    )


def cancel(data_dir: Path, vault: Vault, consent_id: str, now: datetime) -> None:
    """Withdraws a pending erasure. The caller holds the data directory's lock.

    Raises `WrongUsage` when none is pending, or rows may be gone already.
    """
    consent = vault.consent(consent_id)
    if consent.erasing and _has_begun(data_dir / "receipts", consent):
        raise WrongUsage(what_is_pending(data_dir, consent), "What is gone cannot be brought back")
    vault.withdraw_erasure(consent_id, now)


def erase(
    settings: Settings, vault: Vault, consent: Consent, now: Callable[[], datetime], keeper: "HistoryKeeper | None" = None
) -> Path:
    """Removes everything that only this consent brought; returns the receipt's path. The caller holds the data directory's lock.

    Where a `keeper` keeps raw history elsewhere, too, that is without the rows before the vault says that they are erased.
    Raises `Failure` when the consent is not over yet, or a file cannot be written.
    """
    refuse(missing_raw(settings.data_dir, vault))  # else its receipt would say that there was nothing to remove
    if consent.status not in ("revoked", "expired"):
        raise Failure(f"Consent {consent.consent_id} is {consent.status}", "Revoke it first")
    receipt = _receipt(vault, consent, now())
    chain = _chain(vault, consent)
    own, shared = _accounts(settings.data_dir, vault, consent.source, chain)
    receipt.accounts_removed = len(own)
    leftovers.remove(settings.data_dir)
    unfinished.forget_all(settings.data_dir)
    receipt.steps.append("the rows that an interrupted run had read were removed, if there were any")
    receipts = settings.data_dir / "receipts"
    if joined := joined_accounts(settings.data_dir, own):  # afterwards raw history knows them no more
        for history_id in histories_of(settings.data_dir):
            ClosingTrail(vault.database, history_id).forget(joined, now(), vault.who)
    if (settings.data_dir / "raw.duckdb").exists():
        # Written down before it is done: after a crash nobody could count again what is gone.
        receipt.rows_removed = remove_rows(settings.data_dir, consent.source, chain, own, partial(_begin, receipts, receipt))
        receipt.steps.append("raw history was written anew without these rows; the file before it was removed")
        _rebuild_ledger(settings, receipt)
        if keeper is not None:
            keeper.keep(erasing=True)
            receipt.steps.append("older copies of raw history in the fleet's store were removed, if there were any")
            receipt.kept.append("copies on other machines of the fleet: each removes its own at its next `fleet run`")
            if settings.fleet.lake:
                receipt.kept.append("its rows in the lake, with older snapshots and files: the next `fleet publish` removes them")
    for name in ("run.last.json", HISTORY):
        (settings.data_dir / name).unlink(missing_ok=True)
    if exported := leftovers.remove_exports(settings.data_dir):
        receipt.steps.append(f"{exported} exported files in {EXPORT}/ were removed: `export` writes them anew")
    dlt_folder.remove(settings.data_dir)
    receipt.steps.append("the consent's key and token were destroyed in the vault")
    if len(chain) > 1:
        receipt.steps.append(f"the consents that it had replaced were erased with it: {', '.join(chain[1:])}")
    receipt.erased_at = _minute(now())
    receipt.kept += [
        "the consent's entry in the vault (institution, times, state) and its audit trail: proof of what was allowed and ended",
    ]
    if not consent.is_login:
        receipt.kept.append(
            "the times of its imports in the vault until they are two days old: other consents share the quota of its accounts"
        )
    if (settings.data_dir / run_history.FILE).exists():
        receipt.kept.append(f"{run_history.FILE}: times and counts of runs; it names no customer, account or consent")
    # in a fleet the other histories are those of other customers
    if not settings.fleet.cells and (others := sorted(vault.histories() - histories_of(settings.data_dir))):
        receipt.kept.append(f"other raw histories that were read with this vault ({', '.join(others)}), wherever they are")
    if shared:
        receipt.kept.append(f"{len(shared)} accounts with their rows: another consent that is not erased reads them too")
    if of_files := accounts_of_files(settings.data_dir):
        receipt.kept.append(
            f"accounts that are known from imported files only ({of_files}): `import --erase` removes those of the same person"
        )
    receipt.kept += [f"{name}/: {why}" for name, why in BESIDE.items() if _holds_something(settings.data_dir / name)]
    receipt.kept.append(OUTSIDE)
    if consent.source in read_without_consent(settings):
        receipt.kept.append(
            f"the login in the settings sources.{consent.source}: unless it is removed, the next run reads the bank again"
        )
    for history_id in histories_of(settings.data_dir):
        if forgotten := ClosingTrail(vault.database, history_id).forget(own, now(), vault.who):
            receipt.kept.append(
                f"the trail of closed months, {forgotten} of its records without figures: a record has a month, a time and hashes"
            )
    path, digest = _write(receipts, receipt)
    beside = {one.consent_id for one in vault.consents()}  # in a fleet there are readers in other cells, too
    counted = set(shared) | {account for account in own if set(vault.readers_of(account)) - beside}
    # The consent that was named comes last: until it is erased, the next run does all of this again.
    for one in reversed(chain):
        # What it spent today is still spent for the consents beside it, which read the same accounts.
        vault.covers(one, set(vault.accounts_of(one)) & counted)
        vault.move(one, "erased", f"its data and its key are destroyed; receipt sha256:{digest}", now())
    for before in vault.consents(status=("erased",)):
        read = set(vault.accounts_of(before.consent_id))
        if read & set(own):
            vault.covers(before.consent_id, read - set(own))
    return path


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _receipt(vault: Vault, consent: Consent, now: datetime) -> Receipt:
    """Returns the receipt as far as it is known before anything is removed."""
    asked = next((one for one in reversed(vault.trail(consent.consent_id)) if one.what == ERASURE_ASKED), None)
    return Receipt(
        consent_id=consent.consent_id,
        institution=consent.institution,
        asked_at=_minute(consent.erase_asked_at or now),
        asked_by=asked.who if asked else vault.who,
        reason=asked.outcome if asked else NO_REASON,
        revoked=f"{consent.status}: {consent.status_reason}",
        version=version("kontoledger"),
        erased_by=vault.who,
    )


def _chain(vault: Vault, consent: Consent) -> list[str]:
    """Returns the consent and the ended ones that it replaced: one customer's permission, renewed."""
    chain = [consent]
    while chain[-1].replaces:
        before = vault.consent(chain[-1].replaces)
        if before.status not in ("revoked", "expired"):
            break
        chain.append(before)
    return [one.consent_id for one in chain]


def _accounts(data_dir: Path, vault: Vault, dataset: str, chain: list[str]) -> tuple[list[str], list[str]]:
    """Returns the accounts that only the chain ever read, and the accounts that another consent read too.

    The vault knows the accounts that a consent showed last. Raw history has the earlier ones.
    """
    found = brought(data_dir, dataset)
    readers = {account: set(vault.readers_of(account)) for one in chain for account in vault.accounts_of(one)}
    for account, consent_ids in found.items():
        if account in readers or consent_ids & set(chain):
            readers[account] = readers.get(account, set(vault.readers_of(account))) | consent_ids
    standing = {one.consent_id for one in vault.consents() if one.status != "erased"} - set(chain)
    shared = {account for account, consent_ids in readers.items() if consent_ids & standing}
    return sorted(readers.keys() - shared), sorted(shared)


def _rebuild_ledger(settings: Settings, receipt: Receipt) -> None:
    from pipelines.report_page.page_options import wanted_page
    from pipelines.store.ledger import build_and_publish

    built = build_and_publish(settings.data_dir, memory=settings.memory_limit, page=wanted_page(settings))
    receipt.steps.append(f"the ledger was built anew and passed {len(built.checks)} checks")


def _begin(folder: Path, receipt: Receipt, removed: dict[str, int]) -> None:
    """Records what is about to be removed, together with what an interrupted try had removed."""
    folder.mkdir(mode=0o700, exist_ok=True)
    begun = _begun(folder, receipt.consent_id)
    replace_text(begun, _json(_with_earlier(begun, replace(receipt, rows_removed=removed))))


def _write(folder: Path, receipt: Receipt) -> tuple[Path, str]:
    """Writes the receipt in both forms, with what an interrupted try had removed; returns its path and SHA-256."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path, begun = folder / f"erased-{receipt.consent_id}.json", _begun(folder, receipt.consent_id)
    receipt = _with_earlier(path, _with_earlier(begun, receipt))
    replace_text(path.with_suffix(".txt"), receipt.text())
    text = _json(receipt)
    replace_text(path, text)
    begun.unlink(missing_ok=True)
    return path, hashlib.sha256(text.encode()).hexdigest()


def _has_begun(folder: Path, consent: Consent) -> bool:
    """Returns whether its rows may be gone already: a try has begun to remove them, or has written its receipt."""
    path = folder / f"erased-{consent.consent_id}.json"
    if _begun(folder, consent.consent_id).exists():
        return True
    asked_at = _minute(consent.erase_asked_at) if consent.erase_asked_at else ""
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["asked_at"] == asked_at


def _begun(folder: Path, consent_id: str) -> Path:
    return folder / f"erasing-{consent_id}.json"


def _with_earlier(path: Path, receipt: Receipt) -> Receipt:
    """Returns the receipt with what an earlier try wrote: rows that were counted twice were not removed the first time."""
    if not path.exists():
        return receipt
    before = json.loads(path.read_text(encoding="utf-8"))
    rows = {
        table: max(receipt.rows_removed.get(table, 0), before["rows_removed"].get(table, 0))
        for table in receipt.rows_removed | before["rows_removed"]
    }
    return replace(
        receipt,
        rows_removed=rows,
        accounts_removed=max(receipt.accounts_removed, before["accounts_removed"]),
        steps=list(dict.fromkeys([*before["steps"], *receipt.steps])),
        kept=list(dict.fromkeys([*before["kept"], *receipt.kept])),
    )


def _json(receipt: Receipt) -> str:
    return json.dumps(asdict(receipt), indent=2, ensure_ascii=False) + "\n"


def _minute(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
