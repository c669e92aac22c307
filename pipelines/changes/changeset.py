"""From what the banks answered to what is loaded: each account settled, held for confirmation or not, packed with its cursor."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pyarrow as pa

from pipelines.changes.control_totals import known_by_days, read_days
from pipelines.changes.diff import Diff, Differ
from pipelines.changes.plausible_days import Believable, unbelievable
from pipelines.changes.removal_guard import READS_TO_BELIEVE, TIME_TO_BELIEVE, Held
from pipelines.read.outcome import Answer, Outcome
from pipelines.store.load import Changeset, batches_of
from pipelines.store.shape import Shape


@dataclass
class ChangesetBuilder:
    """Packs one bank's answers. `state` is what dlt's state held: `accounts` (cursors) and `doubts` (what is held for
    confirmation)."""

    shape: Shape
    tables: Mapping[str, pa.Schema]
    settler: Differ
    state: Mapping[str, Any]
    run_id: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    accepts: Callable[[Outcome], bool] = lambda _: False

    def __post_init__(self) -> None:
        self._package = Changeset(self.shape.dataset)
        self._cursors: dict[str, Any] = dict(self.state.get("accounts", {}))
        self._doubts: dict[str, Any] = dict(self.state.get("doubts", {}))
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._settled: list[Diff] = []
        self._read_days: list[pa.Table] = []

    def pack(self, answers: Iterable[Answer], outcomes: Iterable[Outcome]) -> Changeset:
        """Settle every answer and pack it; `outcomes` (these and those without an answer) become rows of `imports`."""
        self._known_by_days = known_by_days(self.settler.connection, self.shape)
        for answer in answers:
            self._take(answer)
        if "holes" in self.tables:
            self._rows["holes"] = self.holes()
        self._rows["imports"] = [outcome.as_import(self.run_id) for outcome in outcomes]
        for name, rows in self._rows.items():
            self._package.batches[name] = batches_of(rows, self.tables[name])
        if differing := [settled for settled in self._settled if settled.differs]:
            self._package.batches["transactions"] = partial(self._transactions, differing)
        if self._read_days:
            self._package.batches["read_days"] = pa.concat_tables(self._read_days).to_batches
        self._package.cursors = {"accounts": self._cursors, "doubts": self._doubts}
        return self._package

    def add_list(self, table: str, scope_id: str, rows: list[dict[str, Any]], import_id: str) -> None:
        """A small table's rows for one account or consent, all of them: what is missing is retired."""
        versions = {version_of(row): row for row in rows}
        kept = [row | {"import_id": import_id, "row_version": version} for version, row in versions.items()]
        self._rows.setdefault(table, []).extend(kept)
        self._package.windows.append((table, scope_id, None))

    def replace(self, table: str, rows: list[dict[str, Any]]) -> None:
        """A table that is rewritten at every run."""
        self._rows[table] = rows

    def _take(self, answer: Answer) -> None:
        outcome = answer.outcome
        account_id = str(outcome.account_id)
        spooled, believable = answer.spool.close(), Believable.on(answer.as_of)
        for day, row in unbelievable(self.settler.connection, self.shape, spooled, believable):
            answer.spool.reject("its day lies before 1970 or more than a year ahead", row, min(day, answer.as_of))
        settled = self.settler.settle(
            self.shape,
            account_id=account_id,
            import_id=outcome.import_id,
            spooled=spooled,
            since=answer.since,
            depth_known=answer.depth_known,
            complete=answer.complete,
            newest_first=answer.newest_first,
            currency=answer.account.get("currency"),
            confirmed=partial(self._confirmed, outcome),
            believable=believable,
        )
        held = settled.held
        outcome.rows = answer.spool.rows
        outcome.depth = answer.depth
        if account_id in self._cursors:
            self._cursors[account_id] = self._cursors[account_id] | answer.marks
        if held is None:
            self._doubts.pop(account_id, None)
        self._settled.append(settled)
        if settled.differs or account_id not in self._known_by_days:
            self._read_days.append(read_days(self.settler.connection, self.shape, settled, outcome.import_id))
        outcome.counts = settled.counts
        self._quarantine(answer, settled)
        if settled.differs and settled.since is not None:
            self._package.windows.append(("transactions", account_id, settled.since))
            self._package.moved.extend(settled.moved)
        if held is None or not self._in_another_currency(answer.account):
            self.add_list("accounts", account_id, [answer.account], outcome.import_id)
        for table, rows in answer.lists.items():
            self.add_list(table, account_id, rows, outcome.import_id)
        if held is not None:
            outcome.end("doubted", _held_sentence(held, account_id))
            return
        if not answer.complete:
            outcome.end("partial", "the bank cut its answer short: what it gave is kept, the rest is asked for again")
            return
        outcome.window_start = None if settled.claim == date.min else settled.claim
        outcome.window_end = answer.as_of
        if answer.earns_cursor:
            self._move_cursor(account_id, answer, settled)
        reasons = [reason for reason in (_quarantined(outcome.quarantined), answer.trouble) if reason]
        outcome.end("complete", "; ".join(reasons) or None)

    def _move_cursor(self, account_id: str, answer: Answer, settled: Diff) -> None:
        day, before = answer.as_of.isoformat(), self._cursors.get(account_id, {})
        cursor = {"through": day}
        cursor |= {"deep_on": day} if answer.depth in ("deep", "full") else {}
        cursor |= {"full_on": day} if answer.depth == "full" else {}
        # A read that reaches behind a hole has closed it.
        holes = [hole for hole in before.get("holes", []) if settled.claim and hole["from_on"] < settled.claim.isoformat()]
        if answer.hole:
            first, last = answer.hole
            holes.append(
                {
                    "from_on": first.isoformat(),
                    "to_on": last.isoformat(),
                    "noticed_at": self.now().isoformat(),
                    "import_id": answer.outcome.import_id,
                }
            )
            answer.trouble = f"{first} to {last} cannot be read any more: the last good import was more than 90 days ago"
        self._cursors[account_id] = before | cursor | answer.marks | {"holes": holes}

    def holes(self) -> list[dict[str, Any]]:
        """Every hole in any account, a row each of the table `holes`."""
        return [
            {
                "account_id": account_id,
                "from_on": date.fromisoformat(hole["from_on"]),
                "to_on": date.fromisoformat(hole["to_on"]),
                "noticed_at": datetime.fromisoformat(hole["noticed_at"]),
                "import_id": hole["import_id"],
            }
            for account_id, cursor in sorted(self._cursors.items())
            for hole in cursor.get("holes", [])
        ]

    def _confirmed(self, outcome: Outcome, held: Held) -> bool:
        """Whether a person accepts it or the bank has repeated itself long enough; remembers this time if not."""
        if self.accepts(outcome):
            return True
        account_id, now = str(outcome.account_id), self.now()
        before = self._doubts.get(account_id)
        if before is None or before["digest"] != held.digest:
            before = {"digest": held.digest, "since": held.since.isoformat(), "reads": 0, "first_at": now.isoformat()}
        reads = before["reads"] + 1
        if reads >= READS_TO_BELIEVE and now - datetime.fromisoformat(before["first_at"]) >= TIME_TO_BELIEVE:
            return True
        self._doubts[account_id] = before | {"reads": reads}
        return False

    def _in_another_currency(self, account: Mapping[str, Any]) -> bool:
        """Whether the bank shows an account in another currency than the one that its held rows are in."""
        if "currency" not in self.tables["accounts"].names:
            return False
        found = self.settler.connection.execute(
            f"select count(*) from {self.shape.dataset}.accounts"
            " where account_id = ? and _dlt_valid_to is null and currency <> ?",
            [account["account_id"], account.get("currency")],
        ).fetchall()
        return found != [(0,)]

    def _quarantine(self, answer: Answer, settled: Diff) -> None:
        outcome, claim = answer.outcome, settled.claim
        rows = {
            f"q-{_digest(str(outcome.account_id), rejected.digest)}": rejected
            for rejected in answer.spool.rejected
            if claim is None or rejected.window_on is None or rejected.window_on >= claim
        }
        outcome.quarantined = len(rows)
        for quarantine_id, rejected in rows.items():
            row = {
                "quarantine_id": quarantine_id,
                "account_id": outcome.account_id,
                "window_on": rejected.window_on,
                "reason": rejected.reason,
                "payload": rejected.payload,
            }
            versioned = row | {"import_id": outcome.import_id, "row_version": version_of(row)}
            self._rows.setdefault("quarantine", []).append(versioned)
        if claim is not None:
            self._rows.setdefault("quarantine", [])
            self._package.windows.append(("quarantine", str(outcome.account_id), claim))

    def _transactions(self, differing: list[Diff]) -> Iterator[pa.RecordBatch]:
        for settled in differing:
            yield from self.settler.rows(settled, self.tables["transactions"])


def version_of(row: Mapping[str, Any]) -> str:
    """The hash of a small table's row: what the bank said, whose row it is included."""
    return _digest(json.dumps(row, sort_keys=True, default=str, ensure_ascii=False))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def _held_sentence(held: Held, account_id: str) -> str:
    return (
        f"{held.sentence()}: held for confirmation, everything else is loaded. If it is true, run with"
        f" --accept-removals {account_id}; the same answer on {READS_TO_BELIEVE} reads over a day is believed too"
    )


def _quarantined(rows: int) -> str | None:
    if not rows:
        return None
    return f"{rows} row{'s' if rows > 1 else ''} could not be understood and {'are' if rows > 1 else 'is'} in quarantine"
