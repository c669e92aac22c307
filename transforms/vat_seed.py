"""Checks the rows of the seed `vat`: codes of value added tax, with rate, days, boxes of the tax form and accounts."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import combinations

COLUMNS = (
    "vat_code",
    "side",
    "rate",
    "valid_from",
    "valid_to",
    "net_box",
    "output_box",
    "input_box",
    "output_account",
    "input_account",
)
"""The header of `vat.csv`."""
NO_VAT = "NONE"
"""What a rule or a decision says instead of a code where no tax applies."""
NO_BOX = "none"
"""What a box says where the tax form has none for it. An empty box is not mapped."""

_CODE = re.compile(r"[A-Z][A-Z0-9_]*")
_RATE = re.compile(r"\d{1,2}(\.\d{1,2})?", re.ASCII)
_BOX = re.compile(r"\d{2,3}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def row_fault(row: Mapping[str, str | None]) -> str:
    """Returns what is wrong with a row; nothing if it is good."""
    if not row["vat_code"] or not _CODE.fullmatch(row["vat_code"]) or row["vat_code"] == NO_VAT:
        return f"a vat_code is written in capitals, digits and underscores, and is not {NO_VAT}"
    if row["side"] not in ("sale", "purchase"):
        return "side must be one of sale, purchase"
    if row["rate"] and not _RATE.fullmatch(row["rate"]):
        return "rate must be a percentage below 100 with up to two decimals, or empty"
    try:
        first, last = _days(row)
    except ValueError:
        return "valid_from and valid_to must be dates, as 2020-07-01, or empty"
    if first > last:
        return "valid_from is later than valid_to"
    for column in ("net_box", "output_box", "input_box"):
        if (row[column] or NO_BOX) != NO_BOX and not _BOX.fullmatch(row[column] or ""):
            return f"{column} must be a number of the tax form, {NO_BOX}, or empty"
    return _accounts(row)


def fault(rows: Sequence[Mapping[str, str | None]]) -> str:
    """Returns what is wrong with the rows together: two for the same day, or a code whose tax is owed by buyer and by seller."""
    numbered = list(enumerate(rows, start=1))
    owed = {row["vat_code"] for row in rows if row["side"] == "purchase" and row["output_account"]}
    for number, row in numbered:
        if row["vat_code"] in owed and row["output_account"] and row["side"] == "sale":
            return f"row {number} is a sale with tax, but with the same vat_code the buyer owes it: give it another vat_code"
        if row["vat_code"] in owed and row["input_account"] and not row["output_account"]:
            return f"row {number} has no output_account, but other rows of the same vat_code have one: give it another vat_code"
    for (_, one), (number, other) in combinations(numbered, 2):
        if (one["vat_code"], one["side"]) == (other["vat_code"], other["side"]):
            first, last = zip(_days(one), _days(other), strict=True)
            if max(first) <= min(last):
                return f"row {number} is valid on days of an earlier row of the same vat_code and side"
    return ""


def day_of(text: str) -> date:
    """Returns the day of a text YYYY-MM-DD. Raises `ValueError` for other forms, since Python reads some that DuckDB refuses."""
    if not _DAY.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)


def _days(row: Mapping[str, str | None]) -> tuple[date, date]:
    first, last = row["valid_from"], row["valid_to"]
    return day_of(first) if first else date.min, day_of(last) if last else date.max


def _accounts(row: Mapping[str, str | None]) -> str:
    output, paid = row["output_account"] or "", row["input_account"] or ""
    if output and not output.startswith("Liabilities:"):
        return "output_account must be an account of Liabilities"
    if paid and (not paid.startswith("Assets:") or paid == "Assets:Transit"):
        return "input_account must be an account of Assets, and not Assets:Transit"
    if not row["rate"] or not row["rate"].strip("0."):
        return ""
    if row["side"] == "sale" and (paid or not output):
        return "a sale with a rate has an output_account, and no input_account"
    if row["side"] == "purchase" and not paid:
        return (
            "a purchase with a rate has an input_account; with an output_account beside it, the tax is owed and deducted at once"
        )
    return ""
