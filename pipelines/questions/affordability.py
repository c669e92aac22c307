"""Gathers the answer for a lender: figures of each holder of accounts, the transactions behind them, and the certificates.

Every sum comes from the ledger's `affordability`. The transactions of each are those of `affordability_payments` with its figures
and days, so a reader can add them up again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.errors import WrongUsage
from pipelines.questions.prove import certificate
from pipelines.store.sql import Rows, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BEHIND: Mapping[str, tuple[str, str]] = {
    "income_this_month": ("is_income", "this month"),
    "income_last_month": ("is_income", "last month"),
    "income_month_before": ("is_income", "month before"),
    "income": ("is_income", "90 days"),
    "regular_income": ("is_regular_income", "whole months"),
    "rent": ("rent", "90 days"),
    "utilities": ("utilities", "90 days"),
    "insurance": ("insurance", "90 days"),
    "subscriptions": ("subscription", "90 days"),
    "fixed_costs": ("is_fixed_cost", "90 days"),
    "loan_instalments": ("loan_instalment", "90 days"),
    "gambling": ("gambling", "90 days"),
    "cash": ("cash", "90 days"),
    "spending": ("is_spending", "90 days"),
    "returned_debits_amount": ("returned_debit", "90 days"),
}
"""By column of `affordability`: the figure of `affordability_payments`, or the column that marks several, and its period."""


@dataclass(frozen=True, kw_only=True)
class Affordability:
    """The answer about one owner, or about one account whose bank names no owner."""

    owner_id: str
    name: str | None
    as_of: date
    holders: list[dict[str, Any]]
    """One for each currency and holder (the owner alone, or with others); sums of two of them are never added up.

    Each has the columns of `affordability`, `transactions`, the ids `behind` each sum, and the `certificates` of the accounts.
    """

    def as_json(self) -> dict[str, Any]:
        """Returns the object of `affordability --json`."""
        return {"owner_id": self.owner_id, "name": self.name, "as_of": self.as_of, "holders": self.holders}


def affordabilities(connection: "DuckDBPyConnection", owner: str | None) -> list[Affordability]:
    """Returns the figures of each owner, or of one. Raises `WrongUsage` for an owner that the ledger does not know."""
    rows = rows_of(connection, "select * from affordability order by holder_id, currency")
    listed = list(dict.fromkeys(one for row in rows for one in (row["owner_ids"] or [row["holder_id"]])))
    if owner is not None and owner not in listed:
        raise WrongUsage(
            "No owner with figures has this id",
            "`python -m pipelines owners` lists owners; where a bank names none, the id of the account takes its place",
        )
    names = {
        one["id"]: one["name"]
        for one in rows_of(
            connection, "select owner_id as id, name from owners union all select account_id, display_name from accounts"
        )
    }
    asked = listed if owner is None else [owner]
    wanted = [row for row in rows if set(row["owner_ids"] or [row["holder_id"]]) & set(asked)]
    whole = {(row["holder_id"], row["currency"]): _with_proof(connection, row) for row in wanted}
    return [
        Affordability(
            owner_id=one,
            name=names.get(one),
            as_of=wanted[0]["as_of"],
            holders=[
                whole[row["holder_id"], row["currency"]] for row in wanted if one in (row["owner_ids"] or [row["holder_id"]])
            ],
        )
        for one in asked
    ]


def _with_proof(connection: "DuckDBPyConnection", row: dict[str, Any]) -> dict[str, Any]:
    payments = rows_of(
        connection,
        "select transaction_id, account_id, booked_on, amount, figure, evidence, is_income, is_regular_income, is_fixed_cost,"
        " is_spending, is_proven from affordability_payments"
        " where list_contains($accounts, account_id) and currency = $currency order by booked_on desc, transaction_id",
        {"accounts": row["account_ids"], "currency": row["currency"]},
    )
    certified = [certificate(connection, one, row["lately_from"], row["as_of"]).as_json() for one in row["account_ids"]]
    return row | {
        "certificates": [
            {
                "account_id": one["account"]["account_id"],
                "account": one["account"]["display_name"],
                "certificate_id": one["certificate_id"],
                "verdict": one["verdict"],
                "from": one["from"],
                "to": one["to"],
                "reconciled_days": one["reconciled_days"],
                "days": one["days"]["total"],
            }
            for one in certified
        ],
        "behind": {column: _behind(payments, column, row) for column in BEHIND},
        "transactions": payments,
    }


def _behind(payments: Rows, column: str, row: Mapping[str, Any]) -> list[str]:
    """Returns the transactions whose sum a column is; of `regular_income` those whose sum is divided by `whole_months`."""
    counted, days = BEHIND[column]
    first, last = _days(days, row)
    return [
        one["transaction_id"]
        for one in payments
        if (one["figure"] == counted or one.get(counted) is True) and first <= one["booked_on"] <= last
    ]


def _days(days: str, row: Mapping[str, Any]) -> tuple[date, date]:
    as_of: date = row["as_of"]
    starts = [as_of.replace(day=1)]
    while len(starts) <= max(2, row["whole_months"]):
        starts.append((starts[-1] - timedelta(days=1)).replace(day=1))
    ends = [as_of, *(start - timedelta(days=1) for start in starts)]
    match days:
        case "90 days":
            return row["lately_from"], as_of
        case "whole months":
            return starts[row["whole_months"]], ends[1]
        case _:
            number = ("this month", "last month", "month before").index(days)
            return starts[number], ends[number]
