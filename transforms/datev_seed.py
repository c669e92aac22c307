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

_AUTOMATIC_03 = (
    "3010 3030 3060 3062 3091 3092 3106 3108 3110 3113 3115 3120 3123 3125 3300 3400 3420 3425 3440"
    " 8120 8125 8300 8310 8315 8336 8337 8338 8400 8410 8449"
)
_AUTOMATIC_04 = (
    "4120 4125 4300 4310 4315 4336 4337 4338 4400 4410 4449"
    " 5110 5130 5160 5162 5191 5192 5300 5400 5420 5425 5440 5906 5908 5910 5913 5915 5920 5923 5925"
)
AUTOMATIC: Mapping[str, frozenset[str]] = {
    "skr03": frozenset(_AUTOMATIC_03.split()),
    "skr04": frozenset(_AUTOMATIC_04.split()),
}
"""Common accounts of the two charts that compute the tax by themselves (Automatikkonten). The vendor's own list is longer."""
LIFTS_AUTOMATIC = re.compile(r"4\d")
"""The keys that an automatic account takes: they say that its automatic does not apply."""

_OWN = re.compile(rf"({BANK}|{CARD})(:[A-Z0-9][A-Za-z0-9-]*)*")
_NUMBER = re.compile(r"(?!0+$)\d{4,9}", re.ASCII)
_KEY = re.compile(r"\d{1,4}", re.ASCII)
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
    if _OWN.fullmatch(row["ledger_account"] or "") and (row["direction"], row["vat"], row["bu_key"]) != (ANY, ANY, None):
        yield f"an own account has one number: direction and vat must be {ANY}, and bu_key empty"
