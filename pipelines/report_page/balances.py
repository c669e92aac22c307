"""Balances over days: of each account, of all accounts of a currency, and of everything where rates are known."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import Any

from msgspec import Struct

from pipelines.report_page.plots import LinePlot, Point, line_plot
from pipelines.report_page.scope import DAYS, LABELS, STATES, Account, Scope

POINTS, FEWEST, ALL_POINTS = 200, 24, 1600
"""Points of one plot at most and at least, and of all plots together: the size of the page does not grow with the history."""
PLOTS = 100
"""Accounts with a plot of their own; the others are in the table."""
FORECAST_DAYS = 90
RATE_DAYS = 7
"""Days for which a reference rate holds, as in the ledger's own conversions."""
_CENT = Decimal("0.01")
_SEVERITY = {state: number for number, state in enumerate(STATES)}


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


class _Shared(Struct, frozen=True, kw_only=True):
    account_id: str
    currency: str
    before: int
    """Steps before the last day."""
    gone: bool
    closing_balance: Decimal
    state: str


class _Total(Struct):
    amount: Decimal = Decimal(0)
    accounts: int = 0
    state: str = "proven"

    def add(self, amount: Decimal, state: str) -> None:
        self.amount += amount
        self.accounts += 1
        self.state = max(self.state, state, key=_SEVERITY.__getitem__)


class _Expected(Struct, frozen=True, kw_only=True):
    account_id: str
    day: date
    closing_balance: Decimal


class _Rate(Struct, frozen=True, kw_only=True):
    currency: str
    day: date
    rate: Decimal


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
    first, through = scope.row(f"select min(day), max(day) from {DAYS} where closing_balance is not null")
    if first is None:
        return []
    step = -(-((through - first).days + 1) // POINTS)
    totals = _totals(scope.records(_Shared, _SHARED_DAYS, step=step, through=through))
    panels = []
    for currency, by_step in totals.items():
        if (accounts := by_step[0].accounts if 0 in by_step else 0) > 1:
            points = [Point(through - timedelta(days=before * step), one.amount, one.state) for before, one in by_step.items()]
            note = f"sum of {accounts} accounts, each from its first known day"
            panels.append(
                _panel(title=f"All accounts in {currency}", currency=currency, points=points, every_days=step, note=note)
            )
    everything = _in_reporting_currency(scope, totals, step, through) if len(totals) > 1 else None
    return [everything, *panels] if everything else panels


def _totals(rows: Sequence[_Shared]) -> dict[str, dict[int, _Total]]:
    """Returns the sum of each currency by the steps before the last day, the oldest first.

    An account that its bank no longer lists ends with its last day. Another one that was not read keeps its last balance: that
    is a gap.
    """
    found: dict[str, dict[int, _Total]] = defaultdict(lambda: defaultdict(_Total))
    for _, group in groupby(rows, key=lambda row: row.account_id):
        listed = list(group)
        for row in listed:
            found[row.currency][row.before].add(row.closing_balance, row.state)
        if not listed[-1].gone:
            for before in range(listed[-1].before):
                found[listed[-1].currency][before].add(listed[-1].closing_balance, "gap")
    return {currency: dict(sorted(by_step.items(), reverse=True)) for currency, by_step in sorted(found.items())}


def _panel(*, points: Sequence[Point], expected: Sequence[Point] = (), account: Account | None = None, **about: Any) -> Panel:
    return Panel(points=points, expected=expected, account=account, plot=line_plot(points, expected) if points else None, **about)


def _in_reporting_currency(scope: Scope, totals: dict[str, dict[int, _Total]], step: int, through: date) -> Panel | None:
    """Returns the sum over all currencies, on the days on which every currency has a rate; None where the last day is none."""
    reporting = scope.row("select max(reporting_currency) from cash_flow_monthly")[0]
    if reporting is None or any(account.balance is not None and account.currency is None for account in scope.accounts):
        return None
    rates = _Rates(scope.records(_Rate, "select currency, day, rate from exchange_rates order by currency, day"))
    points = []
    for before in sorted({before for by_step in totals.values() for before in by_step}, reverse=True):
        day = through - timedelta(days=before * step)
        whole: _Total | None = _Total()
        for currency, by_step in totals.items():
            if whole is not None and (one := by_step.get(before)):
                amount = rates.convert(one.amount, currency, reporting, day)
                whole = None if amount is None else whole
                if whole is not None and amount is not None:
                    whole.add(amount, one.state)
        if whole is not None:
            points.append(Point(day, whole.amount, whole.state))
    if not points or points[-1].day != through:
        return None
    note = "converted at each day’s reference rate; days without a rate are left out"
    return _panel(title=f"Everything in {reporting}", currency=reporting, points=points, every_days=step, note=note)


class _Rates:
    """Reference rates, each of which holds until the next one, and a week at most."""

    def __init__(self, rates: Sequence[_Rate]) -> None:
        self._rates: dict[str, list[_Rate]] = defaultdict(list)
        for rate in rates:
            self._rates[rate.currency].append(rate)
        self._days = sorted({rate.day for rate in rates})

    def convert(self, amount: Decimal, currency: str, into: str, day: date) -> Decimal | None:
        """Returns the amount in another currency, rounded to cents, halves away from zero; None without a rate."""
        if currency == into:
            return amount
        of_this, of_other = self._of(currency, day), self._of(into, day)
        if of_this is None or of_other is None:
            return None
        return (amount * of_other / of_this).quantize(_CENT, ROUND_HALF_UP)

    def _of(self, currency: str, day: date) -> Decimal | None:
        if currency == "EUR":
            place = bisect_right(self._days, day)
            return Decimal(1) if place and (day - self._days[place - 1]).days <= RATE_DAYS else None
        rates = self._rates.get(currency, [])
        place = bisect_right(rates, day, key=lambda rate: rate.day)
        if not place or (day - rates[place - 1].day).days > RATE_DAYS or rates[place - 1].rate <= 0:
            return None
        return rates[place - 1].rate


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

_SHARED_DAYS = f"""
select account_id, currency, (cast($through as date) - day) // cast($step as integer) as before, gone_at is not null as gone,
    arg_max(closing_balance, day) as closing_balance, max(state) as state
from {DAYS} inner join accounts using (account_id, currency)
where closing_balance is not null
group by all
order by account_id, before desc
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
