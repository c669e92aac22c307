"""The limit: a bare download, a parse, and a MERGE on one DuckDB connection. No checks, no history, no ledger.

    python -m benchmarks.limit kontist FILE URL EMAIL PASSWORD
    python -m benchmarks.limit xml FILE DOCUMENT

A first call reads every page. A later one reads the newest page of each account, and goes on while a page has news.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from benchmarks.pages import Pages

BATCH = 50_000


class Row(msgspec.Struct):
    """A transaction as Kontist sends it."""

    id: int
    amount: int
    bookingDate: str | None  # noqa: N815  # the bank's name
    valutaDate: str | None  # noqa: N815
    name: str | None = None
    iban: str | None = None
    purpose: str | None = None
    e2eId: str | None = None  # noqa: N815
    category: str | None = None
    bookingType: str | None = None  # noqa: N815


class Page(msgspec.Struct):
    """A page of them."""

    results: list[Row]


COLUMNS = Row.__struct_fields__
DECODER = msgspec.json.Decoder(Page)


def table(rows: Sequence[Row]) -> pa.Table:
    """Returns rows as columns."""
    return pa.table({name: pa.array([getattr(row, name) for row in rows]) for name in COLUMNS}, schema=_SCHEMA)


_SCHEMA = pa.schema([(name, pa.int64() if name in ("id", "amount") else pa.string()) for name in COLUMNS])


def _merge(connection: duckdb.DuckDBPyConnection, given: pa.Table) -> None:
    connection.register("given", given)
    connection.execute(
        "merge into transactions using given on transactions.id = given.id"
        " when matched then update when not matched then insert by name"
    )


def kontist(file: str, url: str, email: str, password: str) -> None:
    """Loads what is new of one login into `file`."""
    pages = Pages(url, email, password)
    with duckdb.connect(file) as connection:
        columns = ", ".join(f"{name} {'bigint' if name in ('id', 'amount') else 'varchar'}" for name in COLUMNS)
        connection.execute(f"create table if not exists transactions ({columns})")
        known = {row[0] for row in connection.execute("select id from transactions order by id desc limit 1000").fetchall()}
        for account in pages.accounts():
            rows: list[Row] = []
            for body in pages.all_of(account) if not known else iter([pages.first(account)]):
                rows += [row for row in DECODER.decode(body).results if row.id not in known]
                if len(rows) >= BATCH:
                    _merge(connection, table(rows))
                    rows.clear()
            if rows:
                _merge(connection, table(rows))


def xml(file: str, document: str) -> None:
    """Loads the rows of an import of Kontomatik into `file`."""
    with duckdb.connect(file) as connection:
        for number, given in enumerate(_rows_of(document)):
            connection.register("given", pa.Table.from_pylist(given))
            connection.execute(f"{'insert into' if number else 'create table'} transactions {'' if number else 'as'} from given")


def _rows_of(document: str) -> Iterator[list[dict[str, Any]]]:
    from lxml import etree

    found: list[dict[str, Any]] = []
    for _, element in etree.iterparse(document, tag="moneyTransaction"):
        found.append({child.tag: child.text for child in element})
        element.clear()
        if len(found) == BATCH:
            yield found
            found = []
    if found:
        yield found


if __name__ == "__main__":
    {"kontist": kontist, "xml": xml}[sys.argv[1]](*sys.argv[2:])
