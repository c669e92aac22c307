"""What the charts of the Superset dashboard are made from: tables of the ledger, or joins of them.

No dataset adds amounts of two currencies: each row has one, and every chart of amounts is divided by currency or by account.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_OF_ONE_ACCOUNT = "Of one account, on the last day of any time grain: a sum over days would count money several times."


@dataclass(frozen=True)
class Metric:
    """One aggregate. Its name is shown, and differs from every column's: DuckDB does not tell capitals apart."""

    name: str
    expression: str
    sentence: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset of Superset."""

    name: str
    sentence: str
    tables: tuple[str, ...]
    """The tables that it reads. The meaning of a column comes from the first of them that has it."""
    sql: str | None = None
    """None: it is the table of its name."""
    time: str | None = None
    """The column that the dashboard's time filter is about."""
    metrics: tuple[Metric, ...] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)
    """Meanings of the columns that its SQL computes."""


NET_WORTH = Dataset(
    name="net_worth_daily",
    sentence="The balances of all accounts, by day and currency.",
    tables=("net_worth_daily",),
    time="day",
    metrics=(Metric("Net worth", "ARG_MAX(balance, day)", "Of one currency, on the last day of any time grain."),),
)
BALANCES = Dataset(
    name="account_balances",
    sentence="The balances of each account, by day.",
    tables=("balances_daily", "accounts"),
    sql="""\
select balances_daily.*, display_name, institution
from balances_daily
inner join accounts using (account_id)
""",
    time="day",
    metrics=(Metric("Closing balance", "ARG_MAX(closing_balance, day)", _OF_ONE_ACCOUNT),),
)
FLOWS = Dataset(
    name="monthly_flows",
    sentence="Money in and out of each account, by month and category, without own transfers and exchanges.",
    tables=("cash_flow_monthly", "accounts", "ledger_accounts"),
    sql="""\
select cash_flow_monthly.*, display_name, institution, kind, category_group, category
from cash_flow_monthly
inner join accounts using (account_id)
inner join ledger_accounts on ledger_accounts.ledger_account = cash_flow_monthly.ledger_account
where cash_flow_monthly.ledger_account not in ('Assets:Transit', 'Equity:Conversions')
""",
    time="month",
    metrics=(
        Metric("Money in", "SUM(money_in)"),
        Metric("Money out", "SUM(money_out)"),
        Metric("Net amount", "SUM(net_amount)"),
    ),
)
COUNTERPARTIES = Dataset(
    name="counterparty_payments",
    sentence="Booked payments from and to others, with the name of the other side.",
    tables=("transactions_enriched", "accounts"),
    sql="""\
select transaction_id, booked_on, account as display_name, institution, counterparty, category_group, category, amount,
    unsigned_amount, currency
from transactions_enriched
where status = 'booked' and transfer_id is null and counterparty_id is not null and not is_own_counterparty
""",
    time="booked_on",
    metrics=(
        Metric("Money in", "COALESCE(SUM(amount) FILTER (WHERE amount > 0), 0)"),
        Metric("Money out", "COALESCE(SUM(amount) FILTER (WHERE amount < 0), 0)"),
        Metric("Turnover", "SUM(unsigned_amount)"),
        Metric("Payments", "COUNT(*)"),
    ),
)
FORECAST = Dataset(
    name="account_forecast",
    sentence="The balance of each account on days to come, if only the expected payments move it.",
    tables=("cash_forecast", "accounts"),
    sql="""\
select cash_forecast.*, display_name, institution
from cash_forecast
inner join accounts using (account_id)
""",
    time="day",
    metrics=(Metric("Expected balance", "ARG_MAX(closing_balance, day)", _OF_ONE_ACCOUNT),),
)
RECONCILIATION = Dataset(
    name="account_coverage",
    sentence="Each day of each account, and whether it was read completely and is confirmed by the bank's balance.",
    tables=("coverage", "accounts"),
    sql="""\
select coverage.*, display_name, institution, currency,
    case
        when proof = 'differs' or difference_amount is not null then 'differs'
        when status in ('unseen', 'hole') then 'gap'
        when status = 'unfinished' then 'unfinished'
        when proof in ('chain', 'reported') then 'proven'
        else 'complete'
    end as state
from coverage
inner join accounts using (account_id)
""",
    time="day",
    metrics=(Metric("Days of accounts", "COUNT(*)"),),
    meanings={
        "state": "The worst that is true of the day: `differs`; `gap`; `unfinished`; `complete`: read, and no balance of the bank"
        " confirms it; `proven`: one does."
    },
)
CONSENTS = Dataset(
    name="consents",
    sentence="Each consent, with the days that are left until it ends.",
    tables=("consents",),
    metrics=(Metric("Least days left", "MIN(days_left)"),),
)
DATASETS = (NET_WORTH, BALANCES, FLOWS, COUNTERPARTIES, FORECAST, RECONCILIATION, CONSENTS)
