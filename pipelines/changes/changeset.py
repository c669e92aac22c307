"""Builds one bank's changeset: diffs each account against raw history, applies the removal guard, sets the cursor."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

import pyarrow as pa

from pipelines.changes.control_totals import accounts_with_totals, control_totals
from pipelines.changes.diff import Diff, Differ
from pipelines.changes.plausible_days import PlausibleDays, implausible_rows
from pipelines.changes.removal_guard import READS_TO_CONFIRM, TIME_TO_CONFIRM, Held
from pipelines.read.context import RunContext
from pipelines.read.outcome import Answer, Outcome
from pipelines.store.banks import Bank
from pipelines.store.load import Changeset, batches_of
from pipelines.store.unasked import with_known_values
from sources._versions import digest, version_of


@dataclass
class ChangesetBuilder:
    """Builds the changeset of one bank's answers.

    `state` is the bank's part of dlt's state: `accounts` (cursors) and `doubts` (removals that are held for confirmation).
    """

    context: RunContext
    bank: Bank
    state: Mapping[str, Any]
    run_id: str

    def __post_init__(self) -> None:
        self._connection = self.context.history.connection
        self._differ = Differ(self._connection, self.context.settings.thresholds)
        self._changeset = Changeset(self.bank.name)
        self._cursors: dict[str, Any] = dict(self.state.get("accounts", {}))
        self._held: dict[str, Any] = dict(self.state.get("doubts", {}))
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._diffs: list[Diff] = []
        self._totals: list[pa.Table] = []

    def build(self, answers: Iterable[Answer], outcomes: Iterable[Outcome]) -> Changeset:
        """Returns the changeset; `outcomes` (of these answers, and those without one) become rows of `imports`."""
        self._with_totals = accounts_with_totals(self._connection, self.bank.shape)
        for answer in answers:
            self._add(answer)
        if "holes" in self.bank.tables:
            self._rows["holes"] = self.gaps()
        self._rows["imports"] = [outcome.as_import(self.run_id) for outcome in outcomes]
        for name, rows in self._rows.items():
            self._changeset.batches[name] = batches_of(rows, self.bank.tables[name])
        if differing := [diff for diff in self._diffs if diff.differs]:
            self._changeset.batches["transactions"] = partial(self._transactions, differing)
        if self._totals:
            self._changeset.batches["read_days"] = pa.concat_tables(self._totals).to_batches
        self._changeset.cursors = {"accounts": self._cursors, "doubts": self._held}
        return self._changeset

    def add_list(self, table: str, scope_id: str, rows: list[dict[str, Any]], import_id: str) -> None:
        """Adds all rows of a small table for one account or consent: a known row that is missing is retired."""
        versions = {version_of(row): row for row in rows}
        kept = [row | {"import_id": import_id, "row_version": version} for version, row in versions.items()]
        self._rows.setdefault(table, []).extend(kept)
        self._changeset.windows.append((table, scope_id, None))

    def replace(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Sets the rows of a table that is rewritten at every run."""
        self._rows[table] = rows

    def gaps(self) -> list[dict[str, Any]]:
        """Returns every gap in coverage of any account, a row each of the table `holes`."""
        return [
            {
                "account_id": account_id,
                "from_on": date.fromisoformat(gap["from_on"]),
                "to_on": date.fromisoformat(gap["to_on"]),
                "noticed_at": datetime.fromisoformat(gap["noticed_at"]),
                "import_id": gap["import_id"],
            }
            for account_id, cursor in sorted(self._cursors.items())
            for gap in cursor.get("holes", [])
        ]

    def _add(self, answer: Answer) -> None:
        self._reject_implausible(answer)
        diff = self._differ.diff(self.bank.shape, answer, confirmed=partial(self._confirmed, answer.outcome))
        self._remember(answer, diff)
        self._add_totals(answer, diff)
        self._add_quarantine(answer, diff)
        self._add_transactions(diff)
        self._add_lists(answer, diff)
        self._end(answer, diff)

    def _reject_implausible(self, answer: Answer) -> None:
        """Moves rows of days that no bank can mean from the answer to its rejected rows."""
        plausible = PlausibleDays.on(answer.as_of)
        for day, row in implausible_rows(self._connection, self.bank.shape, answer.spool.close(), plausible):
            answer.spool.reject("its day lies before 1970 or more than a year ahead", row, min(day, answer.as_of))

    def _remember(self, answer: Answer, diff: Diff) -> None:
        """Notes counts in the outcome, the read's marks in a known account's cursor, and the end of what was held."""
        outcome = answer.outcome
        outcome.rows, outcome.depth, outcome.counts = answer.spool.rows, answer.depth, diff.counts
        if diff.account_id in self._cursors:
            self._cursors[diff.account_id] = self._cursors[diff.account_id] | answer.marks
        if diff.held is None:
            self._held.pop(diff.account_id, None)

    def _add_totals(self, answer: Answer, diff: Diff) -> None:
        if diff.differs or diff.account_id not in self._with_totals:
            self._totals.append(control_totals(self._connection, self.bank.shape, diff, answer.outcome.import_id))

    def _add_transactions(self, diff: Diff) -> None:
        self._diffs.append(diff)
        if diff.differs and diff.since is not None:
            self._changeset.windows.append(("transactions", diff.account_id, diff.since))
            self._changeset.moved.extend(diff.moved)

    def _add_lists(self, answer: Answer, diff: Diff) -> None:
        """Adds the account itself and its small tables. Held rows keep the account in the currency that they are in."""
        import_id = answer.outcome.import_id
        if diff.held is None or not self._in_another_currency(answer.account):
            self.add_list("accounts", diff.account_id, self._completed(answer, "accounts", [answer.account]), import_id)
        for table, rows in answer.lists.items():
            self.add_list(table, diff.account_id, self._completed(answer, table, rows), import_id)

    def _completed(self, answer: Answer, table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns rows of a small table with what is known of the columns that the bank was not asked for."""
        return with_known_values(self._connection, f"{self.bank.name}.{table}", rows, answer.unasked.get(table, {}))

    def _end(self, answer: Answer, diff: Diff) -> None:
        """Ends the outcome; a complete answer moves the account's cursor."""
        outcome = answer.outcome
        if diff.held is not None:
            outcome.end("doubted", _held_sentence(diff.held, diff.account_id))
            return
        if not answer.complete:
            outcome.end("partial", "the bank cut its answer short: what it gave is kept, the rest is asked for again")
            return
        outcome.window_start = None if diff.claim == date.min else diff.claim
        outcome.window_end = answer.as_of
        if answer.earns_cursor:
            self._move_cursor(answer, diff)
        reasons = [reason for reason in (_quarantined(outcome.quarantined), answer.trouble) if reason]
        outcome.end("complete", "; ".join(reasons) or None)

    def _move_cursor(self, answer: Answer, diff: Diff) -> None:
        day, before = answer.as_of.isoformat(), self._cursors.get(diff.account_id, {})
        cursor = {"through": day}
        cursor |= {"deep_on": day} if answer.depth in ("deep", "full") else {}
        cursor |= {"full_on": day} if answer.depth == "full" else {}
        # A read that reaches behind a gap has closed it.
        gaps = [gap for gap in before.get("holes", []) if diff.claim and gap["from_on"] < diff.claim.isoformat()]
        if answer.gap:
            first, last = answer.gap
            gaps.append(
                {
                    "from_on": first.isoformat(),
                    "to_on": last.isoformat(),
                    "noticed_at": self.context.now().isoformat(),
                    "import_id": answer.outcome.import_id,
                }
            )
            answer.trouble = f"{first} to {last} cannot be read any more: the last good import was more than 90 days ago"
        self._cursors[diff.account_id] = before | cursor | answer.marks | {"holes": gaps}

    def _confirmed(self, outcome: Outcome, held: Held) -> bool:
        """Returns whether a person accepts it or the bank has repeated itself long enough; if not, counts this read."""
        account_id, now = str(outcome.account_id), self.context.now()
        if self.context.options.accepts_removals_of(account_id):
            return True
        before = self._held.get(account_id)
        if before is None or before["digest"] != held.digest:
            before = {"digest": held.digest, "since": held.since.isoformat(), "reads": 0, "first_at": now.isoformat()}
        reads = before["reads"] + 1
        if reads >= READS_TO_CONFIRM and now - datetime.fromisoformat(before["first_at"]) >= TIME_TO_CONFIRM:
            return True
        self._held[account_id] = before | {"reads": reads}
        return False

    def _in_another_currency(self, account: Mapping[str, Any]) -> bool:
        """Returns whether the bank shows an account in another currency than the one that its held rows are in."""
        if "currency" not in self.bank.tables["accounts"].names:
            return False
        found = self._connection.execute(
            f"select count(*) from {self.bank.name}.accounts where account_id = ? and _dlt_valid_to is null and currency <> ?",
            [account["account_id"], account.get("currency")],
        ).fetchall()
        return found != [(0,)]

    def _add_quarantine(self, answer: Answer, diff: Diff) -> None:
        """Adds the rejected rows; inside the days that the answer claims, earlier ones are retired."""
        outcome, claim = answer.outcome, diff.claim
        rows = {
            f"q-{digest(diff.account_id, rejected.digest)}": rejected
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
            self._changeset.windows.append(("quarantine", diff.account_id, claim))

    def _transactions(self, differing: list[Diff]) -> Iterator[pa.RecordBatch]:
        for diff in differing:
            yield from self._differ.rows(diff, self.bank.tables["transactions"])


def _held_sentence(held: Held, account_id: str) -> str:
    return (
        f"{held.sentence()}: held for confirmation, everything else is loaded. If it is true, run with"
        f" --accept-removals {account_id}; the same answer on {READS_TO_CONFIRM} reads over a day confirms it, too"
    )


def _quarantined(rows: int) -> str | None:
    if not rows:
        return None
    return f"{rows} row{'s' if rows > 1 else ''} could not be understood and {'are' if rows > 1 else 'is'} in quarantine"
