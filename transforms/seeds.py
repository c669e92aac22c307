"""Reads what people decide and no bank reports: accounts of the ledger, categories, rules, transfers, settings.

Each seed is a CSV file in `seeds/`. A file of the same name in the user's own folder takes its place, whole. They are read when
the ledger is built, checked value by value, and their hashes stand in the ledger: a function of raw history and seeds alone.
"""

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import duckdb

from transforms import datev_seed, payment_words, vat_seed
from transforms.engine import literal
from transforms.errors import SeedUnreadable

FOLDER = Path(__file__).parent / "seeds"
TRANSIT, CONVERSIONS, OPENING = "Assets:Transit", "Equity:Conversions", "Equity:Opening-Balances"
UNCATEGORISED = ("Income:Uncategorised", "Expenses:Uncategorised")
NEEDED = (TRANSIT, CONVERSIONS, OPENING, *UNCATEGORISED)
"""Accounts that every chart must have: the models book to them by name."""
LATER = ("Assets:Input-VAT", "Liabilities:Loans", "Liabilities:Output-VAT", "Liabilities:VAT-Payments")
"""Accounts that came with a later version: a chart without one that a seed names gets it as it is shipped."""

EUER_LINES = ("private_income", "taxes_of_the_owner", "private", "loans", "transfers_and_savings", "tax_office")
"""The values of `euer_line` in the chart. The kind of an account decides if it is empty."""
_KINDS = {"asset": "Assets", "liability": "Liabilities", "equity": "Equity", "income": "Income", "expense": "Expenses"}
_ACCOUNT = re.compile(r"(Assets|Liabilities|Equity|Income|Expenses)(:[A-Z0-9][A-Za-z0-9-]*)+")
_CURRENCY = re.compile(r"[A-Z]{3}")
SOURCES = ("kontist", "kontomatik")
"""The banks whose words `categories` may translate."""
LONGEST_FORECAST = 3660
PAYMENT_KINDS = (
    "salary", "pension", "benefits", "rent", "utilities", "loan", "insurance", "subscription", "tax", "interest", "gambling",
    "cash", "own_transfer", "refund",
)  # fmt: skip
NO_KIND = "none"
"""What a row of `payment_kinds` says of a movement that only looks like one of a kind."""
PAYMENT_WORDS = ("description", "counterparty", "text")
"""Fields of `payment_kinds` whose value is one word or several, found as whole words in a text."""
_PAYMENT_FIELDS = (
    "transaction_id", "iban", "ledger_account", "label", "category", "transaction_type", "merchant_category", *PAYMENT_WORDS,
)  # fmt: skip

_UNIQUE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "chart_of_accounts": (("ledger_account",),),
    "accounts": (("account",), ("display_name",), ("ledger_account",)),
    "rules": (("rule",),),
    "settings": (("name",),),
    "transfers": (("out_transaction_id", "in_transaction_id"),),
    "transactions": (("transaction_id",),),
    "target_holidays": (("day",),),
    "skr": (("ledger_account", "direction", "vat"),),
    "payment_kinds": (("field", "value", "direction"),),
}
"""Columns that no two rows of a file have in common."""
LONGEST_NAME = 60

Row = dict[str, str | None]


@dataclass(frozen=True)
class Seed:
    """One seed as it was read. `origin` is `shipped` or `own`; `rows` are texts, null where a field is empty."""

    name: str
    origin: str
    sha256: str
    rows: tuple[Row, ...]


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "chart_of_accounts": ("ledger_account", "kind", "description", "category_group", "euer_line"),
    "accounts": ("account", "display_name", "ledger_account"),
    "categories": ("source", "field", "value", "direction", "ledger_account"),
    "rules": ("rule", "account_id", "counterparty", "iban", "text", "direction", "ledger_account", "vat_code"),
    "transfers": ("out_transaction_id", "in_transaction_id", "decision"),
    "transactions": ("transaction_id", "ledger_account", "note", "vat_code"),
    "vat": vat_seed.COLUMNS,
    "settings": ("name", "value"),
    "target_holidays": ("day", "name"),
    "skr": datev_seed.COLUMNS,
    "payment_kinds": ("payment_kind", "field", "value", "direction"),
}
"""The header of each seed's file."""
OPTIONAL: Mapping[str, int] = {"chart_of_accounts": 2, "rules": 1, "transactions": 1}
"""How many of a file's last columns came later: files without them, and rows that end before them, go on working."""
NAMES = tuple(COLUMNS)
_BOOKING = (
    *((name, "ledger_account") for name in ("categories", "rules", "transactions")),
    ("vat", "output_account"),
    ("vat", "input_account"),
)
"""Seeds that book to accounts of the chart, with the column that names one."""


def read(own: Path | None = None) -> tuple[Seed, ...]:
    """Returns every seed, from the folder `own` where it has a file of that name. Raises `SeedUnreadable`."""
    seeds = {name: _read(name, own) for name in NAMES}
    places = {name: _path(name, own)[0] for name in NAMES}
    chart = places["chart_of_accounts"]
    named = {row[column] for name, column in _BOOKING for row in seeds[name].rows}
    seeds["chart_of_accounts"] = _with_later_accounts(seeds["chart_of_accounts"], named)
    known = {row["ledger_account"] for row in seeds["chart_of_accounts"].rows}
    for needed in NEEDED:
        if needed not in known:
            raise SeedUnreadable(chart, f"it lacks the account {needed}, which every ledger needs")
    for name, column in _BOOKING:
        for line, row in enumerate(seeds[name].rows, start=1):
            account = row[column]
            if account in known or (account is None and name == "vat"):
                continue
            if seeds[name].origin == "shipped":
                cause = f"it lacks the account {account}, to which the {name}.csv that comes with the program books"
                raise SeedUnreadable(chart, f"{cause}; keep the account, or put a {name}.csv of your own beside it")
            raise SeedUnreadable(places[name], f"row {line} names an account that chart_of_accounts.csv does not have")
    codes = {row["vat_code"] for row in seeds["vat"].rows} | {None, vat_seed.NO_VAT}
    for name in ("rules", "transactions"):
        for line, row in enumerate(seeds[name].rows, start=1):
            if row["vat_code"] not in codes:
                raise SeedUnreadable(
                    places[name], f"row {line} names a vat_code that vat.csv does not have; {vat_seed.NO_VAT} means no tax"
                )
    for line, row in enumerate(seeds["accounts"].rows, start=1):
        if row["ledger_account"] in known:
            raise SeedUnreadable(places["accounts"], f"row {line} names an account that chart_of_accounts.csv has already")
    if seeds["skr"].origin == "own":  # the shipped one may name accounts that a chart of one's own has not
        own_names = {row["ledger_account"] for row in seeds["accounts"].rows}
        if fault := datev_seed.fault(seeds["skr"].rows, known | own_names):
            raise SeedUnreadable(places["skr"], fault)
    return tuple(seeds.values())


def fill(connection: duckdb.DuckDBPyConnection, seeds: Sequence[Seed], *, filtering: bool = True) -> None:
    """Makes the schema `seeds`: a table for each seed, its rows numbered in the order of the file, `files`, a macro.

    Without `filtering` the macro finds every text: where there are few, looking at all costs less than making the patterns.
    """
    connection.execute("create schema seeds")
    connection.execute("create table seeds.files (name varchar, origin varchar, rows bigint, sha256 varchar)")
    for seed in seeds:
        columns = COLUMNS[seed.name]
        connection.execute(f"create table seeds.{seed.name} (line bigint, {', '.join(f'{name} varchar' for name in columns)})")
        _insert(connection, seed.name, [(line, *(row[name] for name in columns)) for line, row in enumerate(seed.rows, start=1)])
        if seed.name == "payment_kinds":
            _add_payment_words(connection, seed, filtering=filtering)
    _insert(connection, "files", [(seed.name, seed.origin, len(seed.rows), seed.sha256) for seed in seeds])


def _add_payment_words(connection: duckdb.DuckDBPyConnection, kinds: Seed, *, filtering: bool) -> None:
    """Makes the macro that says whether a text may hold words of `payment_kinds`."""
    if not filtering:
        connection.execute("create macro seeds.may_have_payment_words(written) as (written is not null)")
        return
    words = (row["value"] or "" for row in kinds.rows if row["field"] in ("description", "text"))
    matches = [f"regexp_matches(written, {literal(one)})" for one in payment_words.patterns(words)]
    connection.execute(f"create macro seeds.may_have_payment_words(written) as ({' or '.join(matches) or 'false'})")


@lru_cache(maxsize=2 * len(NAMES))
def _seed(name: str, content: bytes, path: Path, origin: str) -> Seed:
    """Returns what a file says. A run reads its seeds twice: before it asks the banks, and for the ledger."""
    columns = COLUMNS[name]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise SeedUnreadable(path, "it is no UTF-8 text") from None
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header, *given = [line for line in lines if line] or [[]]
    except csv.Error as error:
        raise SeedUnreadable(path, f"line {lines.line_num} is no CSV ({error})") from None
    whole = dict.fromkeys(columns)
    shortest = len(columns) - OPTIONAL.get(name, 0)
    if tuple(header) != columns[: max(len(header), shortest)]:
        raise SeedUnreadable(path, f"its first line must be `{','.join(columns)}`")
    columns = columns[: len(header)]
    rows: list[Row] = []
    for number, fields in enumerate(given, start=1):
        if shortest <= len(fields) < len(columns):
            fields = [*fields, *[""] * (len(columns) - len(fields))]
        if len(fields) != len(columns):
            raise SeedUnreadable(path, f"row {number} has {len(fields)} fields instead of {len(columns)}")
        row: Row = whole | {column: value.strip() or None for column, value in zip(columns, fields, strict=True)}
        if complaint := _CHECKS[name](row):
            raise SeedUnreadable(path, f"row {number}: {complaint}")
        rows.append(row)
    _refuse_repeats(name, rows, path)
    if name == "vat" and (complaint := vat_seed.fault(rows)):
        raise SeedUnreadable(path, complaint)
    if "euer_line" not in columns and name == "chart_of_accounts":
        rows = [row | {"euer_line": _shipped_euer_lines().get(row["ledger_account"])} for row in rows]
    return Seed(name, origin, hashlib.sha256(content).hexdigest(), tuple(rows))


def _shipped_euer_lines() -> dict[str | None, str | None]:
    """Returns the lines of a chart that has no column for them."""
    return {row["ledger_account"]: row["euer_line"] for row in _read("chart_of_accounts", None).rows}


def _read(name: str, own: Path | None) -> Seed:
    path, origin = _path(name, own)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SeedUnreadable(path, f"it cannot be read ({type(error).__name__})") from None
    return _seed(name, content, path, origin)


def _with_later_accounts(chart: Seed, named: set[str | None]) -> Seed:
    missing = named & set(LATER) - {row["ledger_account"] for row in chart.rows}
    if not missing:
        return chart
    shipped = _read("chart_of_accounts", None).rows
    return replace(chart, rows=(*chart.rows, *(row for row in shipped if row["ledger_account"] in missing)))


def _path(name: str, own: Path | None) -> tuple[Path, str]:
    if own is not None and (path := own / f"{name}.csv").exists():
        return path, "own"
    return FOLDER / f"{name}.csv", "shipped"


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Inserts the rows column by column: a statement of many single values costs more than reading the file."""
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.execute(f"insert into seeds.{table} select {', '.join(['unnest(?)'] * len(columns))}", columns)


def _refuse_repeats(name: str, rows: Sequence[Row], path: Path) -> None:
    for columns in _UNIQUE.get(name, ()):
        seen = set()
        for number, row in enumerate(rows, start=1):
            # what people read as one name is one
            key = tuple((row[column] or "").casefold() if name == "accounts" else row[column] for column in columns)
            if any(key) and key in seen:
                raise SeedUnreadable(path, f"row {number} repeats the {' and '.join(columns)} of an earlier one")
            seen.add(key)


def _one_of(row: Row, column: str, *allowed: str) -> Iterator[str]:
    if row[column] not in allowed:
        yield f"{column} must be one of {', '.join(allowed)}"


def _account(row: Row) -> str:
    kind, name = row["kind"], row["ledger_account"]
    if kind not in _KINDS:
        return f"kind must be one of {', '.join(_KINDS)}"
    if not name or not _ACCOUNT.fullmatch(name) or not name.startswith(f"{_KINDS[kind]}:"):
        return (
            f"an account of kind {kind} is written {_KINDS[kind]}:Name, of letters, digits and hyphens, each part with a capital"
        )
    if name.startswith(("Assets:Bank:", "Liabilities:Card:")):
        return "Assets:Bank and Liabilities:Card are made by the program, one for each account that is read"
    if row["euer_line"] and row["euer_line"] not in EUER_LINES:
        return f"euer_line must be empty, or one of {', '.join(EUER_LINES)}"
    return "" if row["description"] else "description is missing"


def _own_account(row: Row) -> str:
    name, ledger_account = row["display_name"], row["ledger_account"]
    if not row["account"]:
        return "account is missing: an account's id, or the end of its IBAN"
    if not name and not ledger_account:
        return "one of display_name and ledger_account must say what the account is called"
    # every name of the program's own holds this sign, so none of a person's can be the same
    if name and ("…" in name or not name.isprintable() or len(name) > LONGEST_NAME):
        return f"a display_name has up to {LONGEST_NAME} visible signs, and no `…`"
    if ledger_account and not (_ACCOUNT.fullmatch(ledger_account) and ledger_account.startswith(("Assets:", "Liabilities:"))):
        return "a ledger_account is written Assets:Name or Liabilities:Name, of letters, digits and hyphens, each with a capital"
    return ""


def _category(row: Row) -> str:
    complaints = [
        *_one_of(row, "source", *SOURCES),
        *_one_of(row, "field", "category", "label", "transaction_type"),
        *_one_of(row, "direction", "in", "out", "any"),
    ]
    return next(iter(complaints), "" if row["value"] else "value is missing")


def _rule(row: Row) -> str:
    if not row["rule"]:
        return "rule is missing: a name by which `explain` calls it"
    if not any(row[column] for column in ("account_id", "counterparty", "iban", "text")):
        return "one of account_id, counterparty, iban and text must say what it is about"
    return next(_one_of(row, "direction", "in", "out", "any"), "")


def _transfer(row: Row) -> str:
    if not row["out_transaction_id"] or not row["in_transaction_id"]:
        return "both transactions must be named"
    return next(_one_of(row, "decision", "confirm", "reject"), "")


def _transaction(row: Row) -> str:
    if not row["transaction_id"] or not row["ledger_account"]:
        return "transaction_id and ledger_account must be named"
    return "it is in transit already: name the account to which it belongs" if row["ledger_account"] == TRANSIT else ""


def _setting(row: Row) -> str:
    value = row["value"] or ""
    if row["name"] == "reporting_currency":
        return "" if _CURRENCY.fullmatch(value) else "reporting_currency must be an ISO 4217 code, e.g. EUR"
    if row["name"] == "forecast_days":
        good = value.isdecimal() and value.isascii() and int(value) <= LONGEST_FORECAST
        return "" if good else f"forecast_days must be a whole number up to {LONGEST_FORECAST}"
    if row["name"] == "fiscal_year_start_month":
        good = value.isdecimal() and value.isascii() and 1 <= int(value) <= 12
        return "" if good else "fiscal_year_start_month must be a month, 1 to 12"
    if row["name"] == "vat":
        return "" if value in ("on", "off") else "vat must be on or off"
    if row["name"] in datev_seed.SETTINGS:
        return datev_seed.setting_fault(row["name"], value)
    names = ("reporting_currency", "forecast_days", "fiscal_year_start_month", "vat", *datev_seed.SETTINGS)
    return f"name must be one of {', '.join(names)}"


def _holiday(row: Row) -> str:
    try:
        vat_seed.day_of(row["day"] or "")
    except ValueError:
        return "day must be a date, as 2026-12-25"
    return "" if row["name"] else "name is missing"


def _payment_kind(row: Row) -> str:
    complaints = [
        *_one_of(row, "payment_kind", *PAYMENT_KINDS, NO_KIND),
        *_one_of(row, "field", *_PAYMENT_FIELDS),
        *_one_of(row, "direction", "in", "out", "any"),
    ]
    if not complaints and row["field"] in PAYMENT_WORDS and not payment_words.plain(row["value"] or ""):
        return "value must have a letter or a digit"
    return next(iter(complaints), "" if row["value"] else "value is missing")


_CHECKS: Mapping[str, Callable[[Row], str]] = {
    "chart_of_accounts": _account,
    "accounts": _own_account,
    "categories": _category,
    "rules": _rule,
    "transfers": _transfer,
    "transactions": _transaction,
    "vat": vat_seed.row_fault,
    "settings": _setting,
    "target_holidays": _holiday,
    "skr": datev_seed.row_fault,
    "payment_kinds": _payment_kind,
}
