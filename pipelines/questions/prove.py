"""Certifies that the ledger holds all movements of an account's days, or names what is missing, by day and amount.

The certificate needs the published ledger alone: which import last read each day (`coverage`), what reconciles it, the gaps, and
a new sum of the transactions against the day's balances, so that a row that was taken out of the file shows too.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipelines.errors import WrongUsage
from pipelines.store.ledger_reader import account_of
from pipelines.store.sql import Rows, rows_of
from pipelines.text.sinks import line

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from rich.console import Console

LONGEST = 36_600
"""Days of one certificate."""

_DAYS = """
with days as (select cast(unnest(generate_series($from::timestamp, $to::timestamp, interval 1 day)) as date) as day),

-- a day before the first movement was seen if an import claims it: nothing moved then
claims as (
    select import_id, as_of, seen_on, coalesce(window_start, date '0001-01-01') as window_start,
        coalesce(window_end, seen_on) as window_end
    from imports
    -- the clock of Berlin, Warsaw and Prague
    cross join lateral (select cast(as_of at time zone 'Europe/Berlin' as date) as seen_on)
    where account_id = $account and status = 'complete' and as_of is not null
),

outside as (
    select days.day, max_by(import_id, as_of) as import_id, max(as_of) as seen_at, max(seen_on) as seen_on
    from days
    inner join claims on days.day between window_start and window_end
    where days.day not in (select day from coverage where account_id = $account)
    group by days.day
)

select
    days.day,
    coalesce(
        coverage.status,
        case when outside.day is null then 'unseen' when outside.day >= outside.seen_on then 'unfinished' else 'seen' end
    ) as status,
    coalesce(coverage.import_id, outside.import_id) as import_id,
    coalesce(coverage.seen_at, outside.seen_at) as seen_at,
    coalesce(coverage.proof, case when outside.day is not null then 'quiet' else 'unknown' end) as proof
from days
left join coverage on coverage.account_id = $account and coverage.day = days.day
left join outside on outside.day = days.day
order by days.day
"""

_DIFFERENCES = """
select day, differs_since as since, difference_amount as amount
from coverage
where account_id = $account and difference_amount is not null
    and day >= $from and coalesce(differs_since, day) <= $to
order by day
"""

_BY_HAND = """
with moved as (
    select booked_on as day, sum(amount) as amount, count(*) as transactions
    from transactions
    where account_id = $account and status = 'booked' and booked_on between $from and $to
        and currency is not distinct from (select currency from accounts where account_id = $account)
    group by booked_on
),

control as (
    select day, money_in + money_out as amount
    from balances_daily
    where account_id = $account and day between $from and $to
)

select day, coalesce(control.amount, 0) - coalesce(moved.amount, 0) as amount
from moved full outer join control using (day)
where coalesce(control.amount, 0) <> coalesce(moved.amount, 0)
order by day
"""

_BALANCES = """
select
    min_by(opening_balance, day) as opening_balance,
    coalesce(sum(money_in), 0) as money_in,
    coalesce(sum(money_out), 0) as money_out,
    max_by(closing_balance, day) as closing_balance,
    coalesce(sum(transactions), 0) as transactions
from balances_daily
where account_id = $account and day between $from and $to
"""


@dataclass(frozen=True)
class Stretch:
    """Days without a gap that are `unseen`, lie in a gap in coverage (`hole`), or are `contradicted` by a later balance."""

    kind: Literal["unseen", "hole", "contradicted"]
    from_on: date
    to_on: date


@dataclass(frozen=True)
class Unfinished:
    """A day that was read last before it was over."""

    kind: ClassVar = "unfinished"
    day: date
    seen_at: datetime


@dataclass(frozen=True)
class Difference:
    """An amount that moved at the bank beyond what the ledger holds, after `since` and by `day`."""

    kind: ClassVar = "difference"
    day: date
    since: date | None
    amount: Decimal


@dataclass(frozen=True)
class Altered:
    """An amount that is in the published file's daily balances and not in its transactions."""

    kind: ClassVar = "altered"
    day: date
    amount: Decimal


Missing = Stretch | Unfinished | Difference | Altered


@dataclass(frozen=True)
class Seen:
    """Days without a gap that one import was the last to read."""

    import_id: str
    seen_at: datetime
    from_on: date
    to_on: date


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What the ledger holds of an account's days, what reconciles them with the bank, and what is missing."""

    account: dict[str, Any]
    first: date
    last: date
    days: dict[str, int]
    """Number of days by status, and in total."""
    proof: dict[str, int]
    """Number of days by what reconciles them."""
    balances: dict[str, Any]
    """Opening and closing balance, money in and out, number of transactions."""
    seen_last_by: list[Seen]
    missing: list[Missing]
    seeds: Rows

    @property
    def complete(self) -> bool:
        """Returns whether every day was seen and nothing differs."""
        return not self.missing

    @property
    def reconciled_days(self) -> int:
        """Returns the number of days that the bank's own balances reconcile."""
        return sum(number for proof, number in self.proof.items() if proof in _PROVEN)

    @property
    def verdict(self) -> str:
        """Returns `incomplete`, `proven` (every day is reconciled) or `seen`."""
        if self.missing:
            return "incomplete"
        return "proven" if self.reconciled_days == self.days["total"] else "seen"

    @property
    def next_steps(self) -> list[str]:
        """Returns what to do about each kind of what is missing."""
        return [step for kind, step in _NEXT_STEPS.items() if any(one.kind == kind for one in self.missing)]

    def as_json(self) -> dict[str, Any]:
        """Returns the object of `prove --json`. `certificate_id` is a hash of everything else in it."""
        content = {
            "account": self.account,
            "from": self.first,
            "to": self.last,
            "complete": self.complete,
            "verdict": self.verdict,
            "complete_days": self.days.get("seen", 0),
            "reconciled_days": self.reconciled_days,
            "days": self.days,
            "proof": self.proof,
            **self.balances,
            "seen_last_by": [asdict(one) for one in self.seen_last_by],
            "missing": [{"kind": one.kind} | asdict(one) for one in self.missing],
            "next_steps": self.next_steps,
            "seeds": self.seeds,
        }
        return content | {"certificate_id": sha256(json.dumps(content, default=str).encode()).hexdigest()}


def certificate(connection: "DuckDBPyConnection", account: str, first: date, last: date) -> Certificate:
    """Returns the certificate of an account, from one day to another.

    Raises `WrongUsage` for an unknown account, or days in the wrong order.
    """
    if last < first or (last - first).days > LONGEST:
        raise WrongUsage("--to must not lie before --from, nor a century after it", "Correct the two days")
    named = account_of(connection, account)
    given = {"account": named["account_id"], "from": first, "to": last}
    days = rows_of(connection, _DAYS, given)
    (balances,) = rows_of(connection, _BALANCES, given)
    return Certificate(
        account=named,
        first=first,
        last=last,
        days={"total": len(days), **_counted(days, "status")},
        proof=_counted(days, "proof"),
        balances=balances,
        seen_last_by=_imports(days),
        missing=_missing(connection, given, days),
        seeds=rows_of(connection, "select seed, origin, sha256 from seeds order by seed"),
    )


def certificates(connection: "DuckDBPyConnection", first: date, last: date) -> list[Certificate]:
    """Returns the certificate of each account, in the order of their names. Raises `WrongUsage` for days in the wrong order."""
    listed = rows_of(connection, "select account_id from accounts order by display_name, account_id")
    return [certificate(connection, one["account_id"], first, last) for one in listed]


def _missing(connection: "DuckDBPyConnection", given: dict[str, Any], days: Rows) -> list[Missing]:
    """Returns what is missing on these days, by kind. A contradiction counts only where no difference names it by amount."""
    gaps = rows_of(
        connection,
        "select greatest(from_on, $from) as from_on, least(to_on, $to) as to_on from holes"
        " where account_id = $account and from_on <= $to and to_on >= $from order by from_on",
        given,
    )
    differences = [Difference(**one) for one in rows_of(connection, _DIFFERENCES, given)]
    missing: list[Missing] = [
        *_stretches("unseen", [one["day"] for one in days if one["status"] == "unseen"]),  # those in a gap are reported as such
        *(Unfinished(one["day"], one["seen_at"]) for one in days if one["status"] == "unfinished"),
        *(Stretch("hole", **gap) for gap in gaps),
        *differences,
        *(Altered(**one) for one in rows_of(connection, _BY_HAND, given)),
    ]
    if not differences:
        missing += _stretches("contradicted", [one["day"] for one in days if one["proof"] == "differs"])
    return missing


_PROVEN = frozenset({"chain", "reported"})
"""Proofs that the bank's own balances give. A quiet day before the first movement was seen: an earlier movement that is missing
would contradict nothing."""


_NEXT_STEPS = {
    "unseen": "Read these days: `python -m pipelines run --since DAY`, as far back as the bank shows them. Of others, and of an"
    " account that is known from files only, import statements: `python -m pipelines import FILE`",
    "unfinished": "Run again on the day after: the last day was read before it was over",
    "hole": "The bank cannot show these days any more: import its statements of them, `python -m pipelines import FILE`",
    "difference": "Read all that the bank shows, `python -m pipelines run --full-refresh`, and prove again. Ask the bank about a"
    " difference that stays, with its statement of these days",
    "contradicted": "Read all that the bank shows, `python -m pipelines run --full-refresh`, and prove again",
    "altered": "The published file was changed: build it anew, `python -m pipelines transform`",
}


def _stretches(kind: Literal["unseen", "contradicted"], days: list[date]) -> list[Stretch]:
    """Returns the days, in order, as stretches without a gap."""
    stretches: list[Stretch] = []
    for day in days:
        if stretches and stretches[-1].to_on == day - timedelta(days=1):
            stretches[-1] = replace(stretches[-1], to_on=day)
        else:
            stretches.append(Stretch(kind, day, day))
    return stretches


def _counted(days: Rows, column: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in days:
        counts[one[column]] = counts.get(one[column], 0) + 1
    return dict(sorted(counts.items()))


def _imports(days: Rows) -> list[Seen]:
    """Returns the imports that read the days last, in stretches of days."""
    stretches: list[Seen] = []
    for one in days:
        if one["import_id"] is None:
            continue
        last = stretches[-1] if stretches else None
        if last is not None and last.import_id == one["import_id"] and last.to_on == one["day"] - timedelta(days=1):
            stretches[-1] = replace(last, to_on=one["day"])
        else:
            stretches.append(Seen(one["import_id"], one["seen_at"], one["day"], one["day"]))
    return stretches


_VERDICTS = {
    "proven": "PROVEN: every day was seen, and the bank's own balances lead through every movement.",
    "seen": "COMPLETE: every day was seen and nothing differs; for {unproven} of {total} days no balance of the bank proves it.",
    "incomplete": "INCOMPLETE: what is missing, or differs, stands below.",
}
_PROOFS = {
    "chain": "by the bank's running balances, row by row",
    "reported": "by the balances reported at two imports",
    "quiet": "before the first movement, no bank balance available",
    "derived": "no bank balance available",
    "differs": "something is missing or too much",
    "unknown": "no balance is known",
}


def show(listed: list[Certificate], console: "Console") -> None:
    """Shows one line for each certificate, and how to see what is missing."""
    from pipelines.text import tables

    rows = []
    for one in listed:
        currency, moved = one.account["currency"] or "", one.balances
        name = line(one.account["display_name"]).removesuffix(currency).rstrip()  # one of a person's choice may lack it
        result, total = "incomplete" if one.missing else "complete", one.days["total"]
        covered, proven = f"{one.days.get('seen', 0)} of {total}", f"{one.reconciled_days} of {total}"
        rows.append((f"{name} {currency}", result, covered, proven, _money(moved["money_in"]), _money(moved["money_out"])))
    headings = ("account", "result", "complete", "reconciled", "money in", "money out")
    tables.show(console, "Days of each account", headings, rows)
    if incomplete := sum(not one.complete for one in listed):
        tables.say(
            console, f"{incomplete} of {len(listed)} incomplete: `prove ACCOUNT` with the same days names what is missing."
        )


def text(certificate: Certificate) -> str:
    """Returns the certificate for people."""
    account, days, balances = certificate.account, certificate.days, certificate.balances
    currency = account["currency"] or ""
    total, moved = days["total"], f"{_money(balances['money_in'])} in, {_money(balances['money_out'])} out, {currency}"
    lines = [
        f"Certificate of {account['display_name']} ({account['account_id']}), {certificate.first} to {certificate.last}",
        _VERDICTS[certificate.verdict].format(unproven=total - certificate.reconciled_days, total=total),
        "",
        f"complete: {days.get('seen', 0)} of {total} days",
        f"reconciled with the bank's balance: {certificate.reconciled_days} of {total} days",
        "",
        f"days      {total}: " + ", ".join(f"{number} {status}" for status, number in days.items() if status != "total"),
        *(
            f"proof     {number} {'day' if number == 1 else 'days'} {_PROOFS[proof]}"
            for proof, number in certificate.proof.items()
        ),
        f"movements {balances['transactions']}: {moved}".rstrip(", "),
        f"balance   {_money(balances['opening_balance'])} before, {_money(balances['closing_balance'])} after",
        *(f"seen last {_days(one)} by {one.import_id} at {one.seen_at:%Y-%m-%d %H:%M} UTC" for one in certificate.seen_last_by),
        *(f"missing   {sentence(one, currency)}" for one in certificate.missing),
        *(f"next      {step}" for step in certificate.next_steps),
    ]
    return "\n".join(map(line, lines))


def _days(stretch: Stretch | Seen) -> str:
    return str(stretch.from_on) if stretch.from_on == stretch.to_on else f"{stretch.from_on} to {stretch.to_on}"


_STRETCHES = {
    "unseen": "no complete import claims these days",
    "hole": "never read, and the bank cannot show it any more",
    "contradicted": "a later balance of the bank contradicts these days",
}


def sentence(one: Missing, currency: str) -> str:
    """Returns for people what is missing."""
    match one:
        case Stretch():
            return f"{_days(one)}: {_STRETCHES[one.kind]}"
        case Unfinished():
            return f"{one.day}: read last at {one.seen_at:%Y-%m-%d %H:%M} UTC, before the day was over"
        case Altered():
            return f"{one.day}: {_money(one.amount)} {currency} are in the file's daily balances and not in its transactions"
        case Difference():
            since = f"after {one.since}, by {one.day}" if one.since else str(one.day)
            return f"{one.day}: {_money(one.amount)} {currency} moved at the bank ({since}) beyond what the ledger holds"


def _money(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"
