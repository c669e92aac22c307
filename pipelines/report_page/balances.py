"""Balances over days: of each account, of all accounts of a currency, and of everything where rates are known."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from msgspec import Struct

from pipelines.report_page.plots import LinePlot, Point, line_plot
from pipelines.report_page.scope import DAYS, LABELS, STATE_TYPE, STATES, Account, Scope

POINTS, FEWEST, ALL_POINTS = 200, 24, 1600
"""Points of one plot at most and at least, and of all plots together: the size of the page does not grow with the history."""
PLOTS = 100
"""Accounts with a plot of their own; the others are in the table."""
FORECAST_DAYS = 90


class Panel(Struct, frozen=True, kw_only=True):
    """One plot of a balance, with the numbers that it shows."""

    title: str
    currency: str | None
    account: Account | None
    """None for a total."""
    points: Sequence[Point]
    expected: Sequence[Point]
    every_days: int
    """Days from one point to the next."""
    plot: LinePlot | None
    """None where no balance is known."""
    note: str = ""
    is_everything: bool = False
    """Whether it adds up all currencies."""

    @property
    def latest(self) -> Decimal | None:
        """Returns the last balance; None where none is known."""
        return self.points[-1].amount if self.points else None


class _Row(Struct, frozen=True, kw_only=True):
    account_id: str
    day: date
    closing_balance: Decimal
    state: str
    step: int


class _Total(Struct, frozen=True, kw_only=True):
    currency: str
    day: date
    balance: Decimal
    accounts: int
    total_reporting_balance: Decimal | None
    reporting_currency: str
    state: str
    step: int


class _Expected(Struct, frozen=True, kw_only=True):
    account_id: str
    day: date
    closing_balance: Decimal


def account_panels(scope: Scope) -> list[Panel]:
    """Returns a plot for each account, with its expected balance for 90 days."""
    listed = scope.accounts[:PLOTS]
    most = max(FEWEST, min(POINTS, ALL_POINTS // max(1, len(listed))))
    points: dict[str, list[Point]] = defaultdict(list)
    steps: dict[str, int] = {}
    for row in scope.records(_Row, _DAYS, most=most):
        points[row.account_id].append(Point(row.day, row.closing_balance, row.state))
        steps[row.account_id] = row.step
    expected: dict[str, list[Point]] = defaultdict(list)
    for one in scope.records(_Expected, _FORECAST, days=FORECAST_DAYS):
        expected[one.account_id].append(Point(one.day, one.closing_balance))
    return [
        _panel(
            title=account.label,
            currency=account.currency,
            account=account,
            points=points[account.account_id],
            expected=expected[account.account_id],
            every_days=steps.get(account.account_id, 1),
        )
        for account in listed
    ]


def total_panels(scope: Scope) -> list[Panel]:
    """Returns a plot of the sum of each currency that several accounts have, and one of everything where all rates are known."""
    if scope.options.account_id is not None:
        return []
    by_currency: dict[str, list[_Total]] = defaultdict(list)
    for row in scope.records(_Total, _TOTALS, most=POINTS):
        by_currency[row.currency].append(row)
    panels = [_everything(by_currency)] if len(by_currency) > 1 else []
    for currency, rows in by_currency.items():
        if rows[-1].accounts > 1:
            panels.append(
                _panel(
                    title=f"All accounts in {currency}",
                    currency=currency,
                    points=[Point(row.day, row.balance, row.state) for row in rows],
                    every_days=rows[0].step,
                    note=f"sum of {rows[-1].accounts} accounts, each from its first known day",
                )
            )
    return [panel for panel in panels if panel.points]


def lacks_rates(scope: Scope, panels: Sequence[Panel]) -> bool:
    """Returns whether the accounts have several currencies, and no panel adds up all of them."""
    currencies = {account.currency for account in scope.accounts if account.currency}
    return len(currencies) > 1 and not any(panel.is_everything for panel in panels)


def _everything(by_currency: dict[str, list[_Total]]) -> Panel:
    """Returns the sum over all currencies on the days on which every one has a rate; no points where the last day is none."""
    totals: dict[date, Decimal] = {}
    states: dict[date, str] = {}
    rows = [row for listed in by_currency.values() for row in listed]
    for row in rows:
        if row.total_reporting_balance is not None:
            totals[row.day] = row.total_reporting_balance
            states[row.day] = max(row.state, states.get(row.day, row.state), key=list(STATES).index)
    points = [Point(day, amount, states[day]) for day, amount in sorted(totals.items())]
    return _panel(
        title=f"Everything in {rows[0].reporting_currency}",
        currency=rows[0].reporting_currency,
        points=points if points and points[-1].day == max(row.day for row in rows) else (),
        every_days=rows[0].step,
        is_everything=True,
        note="converted at each day’s reference rate; days without a rate are left out",
    )


def _panel(*, points: Sequence[Point], expected: Sequence[Point] = (), account: Account | None = None, **about: Any) -> Panel:
    return Panel(points=points, expected=expected, account=account, plot=line_plot(points, expected) if points else None, **about)


def table_rows(panel: Panel) -> Iterator[tuple[date, Decimal, str]]:
    """Yields every number of a plot: day, balance, and what is known about it."""
    for point in panel.points:
        yield point.day, point.amount, STATES[point.state]
    for point in panel.expected:
        yield point.day, point.amount, "expected"


_DAYS = f"""
with

days as (
    select
        account_id,
        day,
        closing_balance,
        state,
        max(day) over (partition by account_id) - day as before_last,
        (count(*) over (partition by account_id) + cast($most as bigint) - 1) // cast($most as bigint) as step
    from {DAYS}
    where closing_balance is not null
)

select account_id, max(day) as day, arg_max(closing_balance, day) as closing_balance, max(state) as state, any_value(step) as step
from days
group by account_id, before_last // step
order by account_id, day
"""

_TOTALS = f"""
with

-- an account that was not read since is in no row of its own: its day is a gap
states as (select currency, day, max(state) as state from {DAYS} group by currency, day),

days as (
    select
        net_worth_daily.*,
        greatest(
            coalesce(states.state, cast('gap' as {STATE_TYPE})),
            cast(if(accounts_not_reconciled = 0, 'proven', 'complete') as {STATE_TYPE})
        ) as state,
        max(day) over () - day as before_last,
        (max(day) over () - min(day) over () + cast($most as bigint)) // cast($most as bigint) as step
    from net_worth_daily left join states using (currency, day)
),

bucketed as (
    select *, max(state) over (partition by currency, before_last // step) as worst from days
)

select currency, day, balance, accounts, total_reporting_balance, reporting_currency, worst as state, step
from bucketed
where before_last % step = 0 and accounts > 0
order by currency, day
"""

_FORECAST = f"""
with expected as (
    select account_id, day, closing_balance, expected_in <> 0 or expected_out <> 0 as moves,
        row_number() over (partition by account_id order by day) as number,
        lead(day) over (partition by account_id order by day) is null as ends
    from cash_forecast semi join {LABELS} using (account_id)
)
select account_id, day, closing_balance
from expected
where number <= cast($days as bigint) and (moves or ends or number = cast($days as bigint))
order by account_id, day
"""
