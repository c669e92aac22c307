"""Money in and out: by month, by category, by counterparty, and what is expected. Never summed over currencies."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from pipelines.report_page import wording
from pipelines.report_page.balances import FORECAST_DAYS
from pipelines.report_page.plots import BarPlot, bar_plot
from pipelines.report_page.scope import LABELS, Scope

MONTHS = 24
"""Months of a plot."""
LATEST = 12
"""Months whose categories and counterparties are summed up."""
LONGEST = 10
"""Categories, and counterparties, of a currency that stand alone."""
PAYMENTS = 100
NO_FLOW = "('Assets:Transit', 'Equity:Conversions')"
"""Where own transfers and exchanges go: money that stays."""


class Month(Struct, frozen=True, kw_only=True):
    """What came in and went out in a month."""

    currency: str
    month: date
    money_in: Decimal
    money_out: Decimal


class Part(Struct, frozen=True, kw_only=True):
    """What came in and went out for one reason; `share` is that of the largest one, in percent."""

    currency: str
    name: str
    money_in: Decimal
    money_out: Decimal
    net: Decimal
    transactions: int
    share: int = 0


class CurrencyFlow(Struct, frozen=True, kw_only=True):
    """The money of one currency."""

    currency: str
    months: Sequence[Month]
    plot: BarPlot
    categories: Sequence[Part]
    counterparties: Sequence[Part]


class Payment(Struct, frozen=True, kw_only=True):
    """A payment to come, or one that did not come as it should."""

    due_on: date
    account_id: str
    counterparty_name: str | None
    description: str | None
    amount: Decimal
    currency: str
    status: str


def currency_flows(scope: Scope) -> list[CurrencyFlow]:
    """Returns the money of each currency, the one with most transactions first."""
    if scope.through is None:
        return []
    months: dict[str, list[Month]] = defaultdict(list)
    for month in scope.records(Month, _MONTHS, last=scope.through, months=MONTHS):
        months[month.currency].append(month)
    categories = _by_currency(scope.records(Part, _CATEGORIES, last=scope.through, months=LATEST))
    counterparties = _by_currency(scope.records(Part, _COUNTERPARTIES, last=scope.through, months=LATEST))
    return [
        CurrencyFlow(
            currency=currency,
            months=listed,
            plot=_month_plot(listed),
            categories=_largest(categories[currency]),
            counterparties=_largest(counterparties[currency]),
        )
        for currency, listed in months.items()
    ]


def categories_of_month(scope: Scope) -> list[Part]:
    """Returns what came in and went out for each reason in the month that is shown."""
    if scope.month is None:
        return []
    return scope.records(Part, _CATEGORIES, last=scope.month, months=1)


def payments(scope: Scope) -> list[Payment]:
    """Returns the payments that are due within 90 days, and the late ones."""
    return scope.records(Payment, _PAYMENTS, through=scope.through, days=FORECAST_DAYS, most=PAYMENTS)


def _by_currency(parts: Sequence[Part]) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        found[part.currency].append(part)
    return found


def _largest(parts: Sequence[Part]) -> list[Part]:
    """Returns the largest ones with their share, and one row of all others."""
    most = max((abs(part.net) for part in parts), default=Decimal(0)) or Decimal(1)
    kept = [_with_share(part, most) for part in parts[:LONGEST]]
    if rest := parts[LONGEST:]:
        others = Part(
            currency=rest[0].currency,
            name=f"{wording.count(len(rest), 'other')}",
            money_in=sum((part.money_in for part in rest), Decimal(0)),
            money_out=sum((part.money_out for part in rest), Decimal(0)),
            net=sum((part.net for part in rest), Decimal(0)),
            transactions=sum(part.transactions for part in rest),
        )
        kept.append(_with_share(others, most))
    return kept


def _with_share(part: Part, most: Decimal) -> Part:
    share = min(100, int(abs(part.net) * 100 / most))
    return replace(part, share=share)


def _month_plot(months: Sequence[Month]) -> BarPlot:
    columns = []
    for one in months:
        name = wording.month(one.month)
        titles = (f"{name}: {wording.money(amount)} {one.currency}" for amount in (one.money_in, one.money_out))
        columns.append(
            (
                wording.short_month(one.month),
                [("in", one.money_in, f"In, {next(titles)}"), ("out", one.money_out, f"Out, {next(titles)}")],
            )
        )
    return bar_plot(columns)


_MONTHS = f"""
with

moved as (
    select currency, month, sum(money_in) as money_in, sum(money_out) as money_out, sum(transactions) as transactions
    from cash_flow_monthly semi join {LABELS} using (account_id)
    where ledger_account not in {NO_FLOW}
        and month > cast($last as date) - to_months(cast($months as integer)) and month <= cast($last as date)
    group by currency, month
),

currencies as (select currency, min(month) as first_month, sum(transactions) as transactions from moved group by currency),

-- a month without money is a month, too
months as (
    select currency, currencies.transactions,
        cast(unnest(generate_series(cast(first_month as timestamp), cast(cast($last as date) as timestamp), interval 1 month))
            as date) as month
    from currencies
)

select months.currency, months.month, cast(coalesce(money_in, 0) as decimal(38, 2)) as money_in,
    cast(coalesce(money_out, 0) as decimal(38, 2)) as money_out
from months left join moved on moved.currency = months.currency and moved.month = months.month
order by months.transactions desc, months.currency, months.month
"""

_CATEGORIES = f"""
select currency, ledger_account as name, cast(sum(money_in) as decimal(38, 2)) as money_in,
    cast(sum(money_out) as decimal(38, 2)) as money_out, cast(sum(net_amount) as decimal(38, 2)) as net,
    cast(sum(transactions) as bigint) as transactions
from cash_flow_monthly semi join {LABELS} using (account_id)
where ledger_account not in {NO_FLOW}
    and month > date_trunc('month', cast($last as date)) - to_months(cast($months as integer)) and month <= cast($last as date)
group by currency, ledger_account
order by currency, abs(net) desc, ledger_account
"""

_COUNTERPARTIES = f"""
with

sums as (
    select currency, counterparty_id, sum(amount) filter (where amount > 0) as money_in,
        sum(amount) filter (where amount < 0) as money_out, sum(amount) as net, count(*) as transactions
    from transactions semi join {LABELS} using (account_id)
    where status = 'booked' and transfer_id is null and counterparty_id is not null
        and booked_on >= date_trunc('month', cast($last as date)) - to_months(cast($months as integer) - 1)
        and booked_on <= cast($last as date)
    group by currency, counterparty_id
)

select currency, concat(coalesce(counterparties.name, counterparties.names[1], 'no name'),
        -- the ends of their numbers distinguish two of one name
        case when count(*) over (partition by currency, counterparties.name) > 1 then ' …' || right(iban, 4) end) as name,
    cast(coalesce(money_in, 0) as decimal(38, 2)) as money_in, cast(coalesce(money_out, 0) as decimal(38, 2)) as money_out,
    cast(net as decimal(38, 2)) as net, sums.transactions
from sums inner join counterparties using (counterparty_id)
where not is_own
order by currency, abs(net) desc, name, counterparty_id
"""

_PAYMENTS = f"""
select due_on, account_id, counterparty_name, description, amount, currency,
    concat(status, case when order_kind = 'inferred' then ', inferred' end) as status
from expected_payments semi join {LABELS} using (account_id)
where status in ('expected', 'due', 'late') and due_on <= cast($through as date) + cast($days as integer)
order by due_on, expected_payment_id
limit $most
"""
