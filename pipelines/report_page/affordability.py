"""Draws the page of one owner for a lender: one HTML file to print, by the rules of the report page."""

import re
from collections.abc import Mapping
from typing import Any

from pipelines.report_page.rendering import environment, our_text, page_asset, page_policy
from pipelines.report_page.wording import text

ROWS = 300
"""Transactions of a section; how many there are stands beside it, and the JSON has all of them."""
LINES = (
    ("Income of the month so far", "income_this_month", "unproven_income_this_month"),
    ("Income of the month before (M-1)", "income_last_month", "unproven_income_last_month"),
    ("Income two months before (M-2)", "income_month_before", "unproven_income_month_before"),
    ("Income of 90 days", "income", "unproven_income"),
    ("The same in 30 days", "income_30_days", None),
    ("Regular income by month", "regular_income", "unproven_regular_income"),
    ("Rent, 90 days", "rent", "unproven_rent"),
    ("Utilities, 90 days", "utilities", "unproven_utilities"),
    ("Insurance, 90 days", "insurance", "unproven_insurance"),
    ("Subscriptions, 90 days", "subscriptions", "unproven_subscriptions"),
    ("Fixed costs, 90 days", "fixed_costs", "unproven_fixed_costs"),
    ("Loan instalments, 90 days", "loan_instalments", "unproven_loan_instalments"),
    ("Spending, 90 days", "spending", "unproven_spending"),
    ("Bets, 90 days", "gambling", "unproven_gambling"),
    ("Cash drawn, 90 days", "cash", "unproven_cash"),
    ("Returned debits, 90 days", "returned_debits_amount", "unproven_returned_debits_amount"),
    ("Average balance", "average_balance", None),
    ("Lowest balance", "minimum_balance", None),
)
"""Label, column of `affordability`, and the column with its part of unproven days."""


def render(owner: Mapping[str, Any], *, sandbox: bool = False) -> str:
    """Returns the page of the object that `affordability --json` shows of an owner."""
    style = page_asset("page.css")
    return (
        environment()
        .get_template("affordability.html")
        .render(
            owner=owner,
            sandbox=sandbox,
            lines=LINES,
            most=ROWS,
            whole_id=_whole_id,
            share=_share,
            style=style,
            policy=page_policy(style, ""),
        )
    )


def _whole_id(transaction_id: str) -> str:
    """Returns an id as it stands, so that `explain` takes it; what is no id of ours is text of a bank."""
    return our_text(transaction_id) if re.fullmatch(r"[A-Za-z0-9:._-]{1,150}", transaction_id) else text(transaction_id)


def _share(value: Any) -> str:
    """Returns a share as `12.50 %`; a dash where there is none."""
    return "–" if value is None else f"{value * 100:.2f} %"
