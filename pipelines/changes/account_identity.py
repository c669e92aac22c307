"""Recognises accounts that their bank no longer lists, or lists under another number.

An account's id is made of what the bank says of it (IBAN, number, institution, currency). When that changes, the bank lists an
account that nobody knows and leaves one out that is known. Are their rows the same, they are one account, and the known id stays.
An account that is left out of a complete list is held for confirmation; it is gone when the bank has said so often enough.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.changes.removal_guard import READS_TO_CONFIRM, TIME_TO_CONFIRM
from pipelines.read.context import RunContext
from pipelines.read.outcome import Answer, Outcome
from pipelines.store.banks import Bank
from sources._identity import tail
from sources.kontomatik.reach import REUSE_DAYS

SAME_SHARE = 0.8
"""Share of the known account's booked rows, on the days that both show, that the new one must show too."""
ENOUGH_ROWS = 3
"""Rows that are the same from which on nothing else has to speak for one account."""


@dataclass(frozen=True)
class Listed:
    """One account of raw history, as its bank listed it last."""

    account_id: str
    account_type: str
    currency: str | None
    institution: str
    number: str
    consent_id: str | None
    gone: bool
    """Whether it counts as closed by its bank; under a new number it is still the same account."""


@dataclass
class AccountIdentity:
    """Compares one bank's lists of accounts with the known ones. `state` is its part of dlt's state: `aliases`, `unlisted`."""

    context: RunContext
    bank: Bank
    state: Mapping[str, Any]
    gone: list[str] = field(default_factory=list, init=False)
    """Accounts that count as gone from this run on."""

    def __post_init__(self) -> None:
        self._connection = self.context.history.connection
        self._shape = self.bank.shape
        self._aliases: dict[str, str] = dict(self.state.get("aliases", {}))
        self._unlisted: dict[str, Any] = dict(self.state.get("unlisted", {}))

    @property
    def cursors(self) -> dict[str, Any]:
        """Returns what dlt's state must hold afterwards. A part that was always empty is left out: state is only added to."""
        parts = {"aliases": self._aliases, "unlisted": self._unlisted}
        return {name: part for name, part in parts.items() if part or name in self.state}

    def compare(
        self, answers: list[Answer], outcomes: list[Outcome], complete: Iterable[str | None], over: Iterable[str]
    ) -> None:
        """Gives answers under a new number their known id, and adds an outcome for each account that is missing.

        `complete` are the consents whose whole list was read in this run (None: a bank with one list of all its accounts), `over`
        those that give no list any more. An answer that may be one of several known accounts is taken out and held for
        confirmation.
        """
        whole, ended = set(complete), set(over)
        listed = {outcome.account_id for outcome in outcomes if outcome.account_id}
        known = self._known()
        for account_id in listed & self._unlisted.keys():
            del self._unlisted[account_id]
        left_out = [one for one in known if one.account_id not in listed]
        missing = [one for one in left_out if self._belongs(one, whole) and not one.gone]
        self._recognise(answers, known, left_out, whole | ended)
        found = set(self._aliases.values()) & {outcome.account_id for outcome in outcomes}
        for one in missing:
            if one.account_id not in found:
                self._hold(one, outcomes)

    def _belongs(self, one: Listed, consents: set[str | None]) -> bool:
        return one.consent_id in consents

    def _known(self) -> list[Listed]:
        own = self.bank.accounts
        rows = self._connection.execute(
            f"""
            select
                account_id, account_type, {own.currency}, {own.institution}, coalesce({own.number}, ''), {own.consent_id},
                _dlt_valid_to is not null
            from {self.bank.name}.accounts
            qualify row_number() over (partition by account_id order by _dlt_valid_from desc, _dlt_valid_to desc nulls first) = 1
            order by account_id
            """
        ).fetchall()
        return [Listed(*row) for row in rows]

    def _recognise(
        self, answers: list[Answer], known: Sequence[Listed], left_out: Sequence[Listed], read: set[str | None]
    ) -> None:
        ever = {one.account_id for one in known}
        new = [answer for answer in answers if str(answer.outcome.account_id) not in ever]
        pairs = [
            (answer, one)
            for answer in new
            for one in left_out
            if self._may_be(answer, one, read) and self._same_rows(answer, one)
        ]
        for answer in new:
            mine = [one for its, one in pairs if its is answer]
            rivals = [its for its, one in pairs if one in mine]
            if len(mine) == 1 and len(rivals) == 1:
                self._rename(answer, mine[0].account_id)
            elif mine:
                answers.remove(answer)
                answer.outcome.end(
                    "doubted",
                    "it shows the rows of several known accounts under a new number: held for confirmation, nothing is stored",
                )
            elif any(self._may_be(answer, one, read) and self._undecided(answer, one) for one in left_out):
                answers.remove(answer)
                answer.outcome.end(
                    "doubted",
                    "it may be an account that the bank no longer lists, under a new number: nothing is stored before the next"
                    " run has read all that the bank shows of it",
                )

    def _may_be(self, answer: Answer, one: Listed, read: set[str | None]) -> bool:
        """Returns whether only the number differs: same kind and currency, and no two numbers that speak for two accounts."""
        account = answer.account
        number = self.bank.accounts.number_of(account)
        return bool(
            account.get("account_type", "account") == one.account_type
            and (account.get("currency") or one.currency) == (one.currency or account.get("currency"))
            and (
                self._belongs(one, read)
                or (number and _end(number) == _end(one.number))
                or (not (number and one.number) and self._one_institution(answer, one))
            )
        )

    def _one_institution(self, answer: Answer, one: Listed) -> bool:
        return answer.outcome.institution.strip().lower() == one.institution.strip().lower()

    def _same_rows(self, answer: Answer, one: Listed) -> bool:
        """Returns whether the known account's booked rows are among those shown, compared by day and amount.

        A dialect may date rows by another of their days: at the same institution, month and amount are compared, too.
        """
        path = answer.spool.close()
        if path is None:
            return False
        near = self._one_institution(answer, one)
        known, same = self._compared(path, answer.since, one.account_id, "window_on")
        if (same >= ENOUGH_ROWS or (same > 0 and near)) and same >= SAME_SHARE * known:
            return True
        known, same = self._compared(path, answer.since, one.account_id, "date_trunc('month', window_on)")
        return near and same >= ENOUGH_ROWS and same >= SAME_SHARE * known

    def _undecided(self, answer: Answer, one: Listed) -> bool:
        """Returns whether the days read say nothing of the two, and a read of all that the bank shows will."""
        if answer.earns_cursor or answer.since is None or not self._one_institution(answer, one):
            return False
        path = answer.spool.close()
        known, same = self._compared(path, answer.since, one.account_id, "window_on") if path else (0, 0)
        if same < SAME_SHARE * known:
            return False
        ((older,),) = self._connection.execute(
            f"""
            select count(*) from {self._shape.table}
            where account_id = ? and _dlt_valid_to is null and {self._shape.booked} and window_on between ? and ?
            """,
            [one.account_id, answer.as_of - timedelta(days=REUSE_DAYS), answer.since],
        ).fetchall()
        return bool(older)

    def _compared(self, path: Path, since: date | None, account_id: str, day: str) -> tuple[int, int]:
        """Returns the number of booked rows known since the first day shown, and the number of them that are shown."""
        shape = self._shape
        ((known, same),) = self._connection.execute(
            f"""
            with

            shown as (
                select {day} as day, {shape.amount} as amount, count(*) as rows, min(window_on) as first_on
                from read_parquet($path) where {shape.booked} group by all
            ),

            held as (
                select {day} as day, {shape.amount} as amount, count(*) as rows
                from {shape.table}
                where account_id = $account and _dlt_valid_to is null and {shape.booked}
                    and window_on >= greatest($since, (select min(first_on) from shown))
                group by all
            )

            select coalesce(sum(held.rows), 0), coalesce(sum(least(held.rows, coalesce(shown.rows, 0))), 0)
            from held left join shown using (day, amount)
            """,
            {"path": str(path), "account": account_id, "since": since or date.min},
        ).fetchall()
        return int(known), int(same)

    def _rename(self, answer: Answer, account_id: str) -> None:
        self._aliases[str(answer.outcome.account_id)] = account_id
        answer.outcome.account_id = account_id
        answer.account["account_id"] = account_id
        answer.lists = {
            table: [row | ({"account_id": account_id} if "account_id" in row else {}) for row in rows]
            for table, rows in answer.lists.items()
        }
        self._unlisted.pop(account_id, None)

    def _hold(self, one: Listed, outcomes: list[Outcome]) -> None:
        """Holds for confirmation that an account was left out. It is gone once the bank repeats itself, or somebody says so."""
        now = self.context.now()
        outcome = Outcome(
            self.bank.name,
            now,
            account_id=one.account_id,
            consent_id=one.consent_id,
            institution=one.institution,
            account=f"{one.account_type} {tail(one.number)}",
            currency=one.currency,
        )
        before = self._unlisted.get(one.account_id) or {"reads": 0, "first_at": now.isoformat()}
        reads = before["reads"] + 1
        long_enough = now - datetime.fromisoformat(before["first_at"]) >= TIME_TO_CONFIRM
        if self.context.options.accepts_removals_of(one.account_id) or (reads >= READS_TO_CONFIRM and long_enough):
            self._unlisted.pop(one.account_id, None)
            self.gone.append(one.account_id)
            return
        self._unlisted[one.account_id] = before | {"reads": reads}
        outcomes.append(
            outcome.end(
                "doubted",
                "the bank's complete list no longer names this account: held for confirmation, its data stays. If it is closed,"
                f" run with --accept-removals {one.account_id}; the same on {READS_TO_CONFIRM} reads over a day confirms it, too",
            )
        )


def _end(number: str) -> str:
    """Returns the last four characters of a number, by which people and masked numbers name an account."""
    return "".join(sign for sign in number if sign.isalnum())[-4:].upper()
