"""What the seed `skr` and the settings of DATEV may say: `export --format datev` reads them, no model does."""

import re
from collections.abc import Iterable, Iterator, Mapping

COLUMNS = ("ledger_account", "direction", "vat", "skr03", "skr04", "bu_key")
ANY = "any"
BANK, CARD = "Assets:Bank", "Liabilities:Card"
"""Stand for each own account, or card, that has no row of its own."""

SETTINGS: Mapping[str, tuple[str, str]] = {
    "datev_consultant_number": (r"[1-9]\d{3,6}", "a number from 1001 to 9999999 (Beraternummer)"),
    "datev_client_number": (r"[1-9]\d{0,4}", "a number from 1 to 99999 (Mandantennummer)"),
    "datev_account_length": (r"[4-8]", "a number from 4 to 8 (Sachkontenlänge)"),
    "datev_skr": (r"03|04", "03 or 04 (Sachkontenrahmen)"),
    "datev_festschreibung": (r"0|1", "0, or 1 for a batch that nobody may change after its import"),
}
"""Each setting, the form of its value, and that form in words. The numbers are those of the vendor's header."""

_OWN = re.compile(rf"({BANK}|{CARD})(:[A-Z0-9][A-Za-z0-9-]*)*")
_NUMBER = re.compile(r"(?!0+$)\d{4,9}")
_KEY = re.compile(r"\d{1,4}")
_VAT = re.compile(rf"{ANY}|[A-Z][A-Z0-9_]*")

Row = Mapping[str, str | None]


def setting_fault(name: str | None, value: str) -> str:
    """Returns what a value of one of `SETTINGS` must be, as a sentence, or an empty text if it is."""
    form, words = SETTINGS[name or ""]
    good = re.fullmatch(form, value, re.ASCII) and (name != "datev_consultant_number" or int(value) > 1000)
    return "" if good else f"{name} must be {words}"


def row_fault(row: Row) -> str:
    """Returns what is wrong with a row of `skr`, or an empty text."""
    return next(_faults(row), "")


def fault(rows: Iterable[Row], known: Iterable[str | None]) -> str:
    """Returns what is wrong with `skr` as a whole, or an empty text. `known` are the accounts of the chart and of `accounts`."""
    listed, names = list(rows), {*known, ANY}
    for number, row in enumerate(listed, start=1):
        name = row["ledger_account"]
        if name not in names and not _OWN.fullmatch(name or ""):
            return f"row {number} names an account that neither chart_of_accounts.csv nor accounts.csv has"
    interim = [row for row in listed if row["ledger_account"] == ANY]
    if [(row["direction"], row["vat"], row["bu_key"]) for row in interim] != [(ANY, ANY, None)] or not _both(interim[0]):
        return (
            f"it needs one row `{ANY},{ANY},{ANY},` with two accounts and no bu_key: the interim accounts for all other postings"
        )
    return ""


def _both(row: Row) -> bool:
    return bool(row["skr03"] and row["skr04"])


def _faults(row: Row) -> Iterator[str]:
    if not row["ledger_account"]:
        yield "ledger_account is missing"
    if row["direction"] not in ("in", "out", ANY):
        yield "direction must be one of in, out, any"
    if row["vat"] and not _VAT.fullmatch(row["vat"]):
        yield f"vat must be a VAT code as VAT_19, {ANY}, or empty for a posting without one"
    for chart in ("skr03", "skr04"):
        if row[chart] and not _NUMBER.fullmatch(row[chart] or ""):
            yield f"{chart} must be an account number of 4 to 9 digits, or empty"
    if row["bu_key"] and not _KEY.fullmatch(row["bu_key"]):
        yield "bu_key must have 1 to 4 digits, or be empty"
