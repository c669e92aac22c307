"""The certificate of an account: that the ledger holds all that moved on its days, or what is missing, by day and amount.

It is made from the published ledger alone: who saw each day last (`coverage`), what proves it, the holes, and a fresh sum of the
transactions themselves against the day's balances, so that a row that was taken out of the file shows too.
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipelines.errors import WrongUsage
from pipelines.store.ledger_reader import account_of
from pipelines.store.sql import Rows, rows_of
from pipelines.text.sinks import line

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

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

told as (
    select day, money_in + money_out as amount
    from balances_daily
    where account_id = $account and day between $from and $to
)

select day, coalesce(told.amount, 0) - coalesce(moved.amount, 0) as amount
from moved full outer join told using (day)
where coalesce(told.amount, 0) <> coalesce(moved.amount, 0)
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


def certificate(connection: "DuckDBPyConnection", account: str, first: date, last: date) -> dict[str, Any]:
    """The certificate as `prove --json` prints it. `complete` is true when every day was seen and nothing differs.

    Raises `WrongUsage` for an account that is not there, or days in the wrong order.
    """
    if last < first or (last - first).days > LONGEST:
        raise WrongUsage("--to must not lie before --from, nor a century after it", "Correct the two days")
    named = account_of(connection, account)
    given = {"account": named["account_id"], "from": first, "to": last}
    days = rows_of(connection, _DAYS, given)
    holes = rows_of(
        connection,
        "select greatest(from_on, $from) as from_on, least(to_on, $to) as to_on from holes"
        " where account_id = $account and from_on <= $to and to_on >= $from order by from_on",
        given,
    )
    missing = [
        *_unseen(days),
        *({"kind": "unfinished", "day": one["day"], "seen_at": one["seen_at"]} for one in days if one["status"] == "unfinished"),
        *({"kind": "hole", **hole} for hole in holes),
        *({"kind": "difference", **one} for one in rows_of(connection, _DIFFERENCES, given)),
        *({"kind": "altered", **one} for one in rows_of(connection, _BY_HAND, given)),
    ]
    proofs = _counted(days, "proof")
    if proofs.get("differs") and not any(one["kind"] == "difference" for one in missing):
        missing += _stretches("contradicted", [one["day"] for one in days if one["proof"] == "differs"])
    proven = sum(number for proof, number in proofs.items() if proof in _PROVEN)
    (balances,) = rows_of(connection, _BALANCES, given)
    return {
        "account": named,
        "from": first,
        "to": last,
        "complete": not missing,
        "verdict": "incomplete" if missing else "proven" if proven == len(days) else "seen",
        "complete_days": sum(one["status"] == "seen" for one in days),
        "reconciled_days": proven,
        "days": {"total": len(days), **_counted(days, "status")},
        "proof": proofs,
        **balances,
        "seen_last_by": _imports(days),
        "missing": missing,
        "next_steps": [step for kind, step in _NEXT_STEPS.items() if any(one["kind"] == kind for one in missing)],
        "seeds": rows_of(connection, "select seed, origin, sha256 from seeds order by seed"),
    }


_PROVEN = frozenset({"chain", "reported"})
"""Proofs that the bank's own balances give. A quiet day before the first movement was seen: an earlier movement that is missing
would contradict nothing."""


_NEXT_STEPS = {
    "unseen": "Read these days: `python -m pipelines run --since DAY`, as far back as the bank shows them",
    "unfinished": "Run again on the day after: the last day was read before it was over",
    "hole": "The bank cannot show these days any more: compare them with its statements",
    "difference": "Read all that the bank shows, `python -m pipelines run --full-refresh`, and prove again. Ask the bank about a"
    " difference that stays, with its statement of these days",
    "contradicted": "Read all that the bank shows, `python -m pipelines run --full-refresh`, and prove again",
    "altered": "The published file was changed: build it anew, `python -m pipelines transform`",
}


def _unseen(days: Rows) -> Rows:
    """Returns the stretches of days that no complete import claims; those in a hole are reported as such."""
    return _stretches("unseen", [one["day"] for one in days if one["status"] == "unseen"])


def _stretches(kind: str, days: list[date]) -> Rows:
    """Returns the days, in order, as stretches without a gap."""
    stretches: Rows = []
    for day in days:
        if stretches and stretches[-1]["to_on"] == day - timedelta(days=1):
            stretches[-1]["to_on"] = day
        else:
            stretches.append({"kind": kind, "from_on": day, "to_on": day})
    return stretches


def _counted(days: Rows, column: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in days:
        counts[one[column]] = counts.get(one[column], 0) + 1
    return dict(sorted(counts.items()))


def _imports(days: Rows) -> Rows:
    """Who saw the days last, in stretches."""
    stretches: Rows = []
    for one in days:
        if one["import_id"] is None:
            continue
        last = stretches[-1] if stretches else None
        if last is not None and last["import_id"] == one["import_id"] and last["to_on"] == one["day"] - timedelta(days=1):
            last["to_on"] = one["day"]
        else:
            stretch = {"import_id": one["import_id"], "seen_at": one["seen_at"], "from_on": one["day"], "to_on": one["day"]}
            stretches.append(stretch)
    return stretches


_VERDICTS = {
    "proven": "PROVEN: every day was seen, and the bank's own balances lead through every movement.",
    "seen": "COMPLETE: every day was seen and nothing differs; for {unproven} of {total} days no balance of the bank proves it.",
    "incomplete": "INCOMPLETE: what is missing, or differs, stands below.",
}
_PROOFS = {
    "chain": "by the bank's running balances, row by row",
    "reported": "by the balances reported at two imports",
    "quiet": "before the first movement, nothing to compare with",
    "derived": "nothing to compare with",
    "differs": "something is missing or too much",
    "unknown": "no balance is known",
}


def text(told: dict[str, Any]) -> str:
    """The certificate for people."""
    account = told["account"]
    currency = account["currency"] or ""
    ends = f"{account['account_type']} …{account['iban_ends']}" if account["iban_ends"] else account["account_type"]
    lines = [
        f"Certificate of {account['institution']} {ends} ({account['account_id']}), {told['from']} to {told['to']}",
        _VERDICTS[told["verdict"]].format(
            unproven=told["days"]["total"] - sum(told["proof"].get(proof, 0) for proof in _PROVEN), total=told["days"]["total"]
        ),
        "",
        f"complete: {told['complete_days']} of {told['days']['total']} days",
        f"reconciled with the bank's balance: {told['reconciled_days']} of {told['days']['total']} days",
        "",
        f"days      {told['days']['total']}: "
        + ", ".join(f"{number} {status}" for status, number in told["days"].items() if status != "total"),
        *(f"proof     {number} {'day' if number == 1 else 'days'} {_PROOFS[proof]}" for proof, number in told["proof"].items()),
        f"movements {told['transactions']}: {_money(told['money_in'])} in, {_money(told['money_out'])} out, {currency}".rstrip(
            ", "
        ),
        f"balance   {_money(told['opening_balance'])} before, {_money(told['closing_balance'])} after",
        *(f"seen last {_days(one)} by {one['import_id']} at {one['seen_at']:%Y-%m-%d %H:%M} UTC" for one in told["seen_last_by"]),
    ]
    lines += [f"missing   {_missing(one, currency)}" for one in told["missing"]]
    return "\n".join(map(line, [*lines, *(f"next      {step}" for step in told["next_steps"])]))


def _days(stretch: dict[str, Any]) -> str:
    return str(stretch["from_on"]) if stretch["from_on"] == stretch["to_on"] else f"{stretch['from_on']} to {stretch['to_on']}"


def _missing(one: dict[str, Any], currency: str) -> str:
    match one["kind"]:
        case "unseen":
            return f"{_days(one)}: no complete import claims these days"
        case "hole":
            return f"{_days(one)}: never read, and the bank cannot show it any more"
        case "unfinished":
            return f"{one['day']}: read last at {one['seen_at']:%Y-%m-%d %H:%M} UTC, before the day was over"
        case "contradicted":
            return f"{_days(one)}: a later balance of the bank contradicts these days"
        case "altered":
            return (
                f"{one['day']}: {_money(one['amount'])} {currency} are in the file's daily balances and not in its transactions"
            )
        case _:
            since = f"after {one['since']}, by {one['day']}" if one["since"] else str(one["day"])
            return f"{one['day']}: {_money(one['amount'])} {currency} moved at the bank ({since}) beyond what the ledger holds"


def _money(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"
