"""What `fleet run` costs a cell, in fleets of few and of many cells: whole processes, with vault and leases in PostgreSQL.

    python -m benchmarks.fleet [--cells N ...] [--rows N]

Each cell has one customer, whose accounts are imported beforehand. What is measured is the run after that: it imports again,
stores raw history, and builds the whole ledger and its page. CPU seconds depend little on what else the machine does.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.bank import Bank, serving
from benchmarks.costs import Cost, cost_of
from pipelines.fleet.cells import make_cells, name_of
from pipelines.settings import load_settings
from tests.consents.postgres import empty_database, programs, server
from tests.fleet.scene import connect

SIZES = (10, 100)
ROWS = 1_200
"""Transactions of the bank. A cell has those of its customer."""
AT_ONCE = 2
LOGIN = "test1"


@dataclass(frozen=True)
class Fleet:
    """A fleet of so many cells, all of which are due."""

    cells: int
    folder: Path
    environment: Mapping[str, str]

    def run(self, bank: Bank) -> Cost:
        """Returns what one `fleet run` costs, with all processes that it starts."""
        arguments = ("-m", "pipelines", "fleet", "run", "--due", "0m", "--at-most", str(AT_ONCE), "--json")
        return cost_of(arguments, self.folder, self.environment, bank)

    def transactions(self) -> int:
        """Returns how many transactions the ledger of the first cell has."""
        with duckdb.connect(self.folder / "cells" / name_of(0) / "ledger.duckdb", read_only=True) as ledger:
            return len(ledger.execute("select transaction_id from transactions").fetchall())


@contextmanager
def imported(cells: int, bank: Bank, url: str) -> Iterator[Fleet]:
    """Makes a fleet with a customer in each cell, and imports their accounts, without ledgers."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        environment = bank.environment(kontomatik=True) | {
            "PIPELINES__VAULT_URL": url,
            "SOURCES__KONTOMATIK__IMPORTS_PER_DAY": "1000",  # all customers have the test bank's accounts
            "FLEET__CELLS": str(cells),
            "FLEET__FOLDER": str(folder / "cells"),
            "FLEET__STORE": f"file://{folder / 'store'}",
        }
        settings = load_settings(environment=environment, folder=folder)
        make_cells(settings)
        for number in range(cells):
            connect(settings, f"K-{number}", LOGIN)
            _say(f"{name_of(number)} of {cells} is imported")
        yield Fleet(cells, folder, environment)


def costs(sizes: Sequence[int], rows: int = ROWS) -> Iterator[tuple[int, int, Cost]]:
    """Yields numbers of cells and of a cell's transactions, and the cost of a `fleet run` of all cells.

    Yields nothing where PostgreSQL is not installed.
    """
    if (binaries := programs()) is None:
        return
    with server(binaries) as address, serving(rows) as bank:
        for count in sizes:
            with imported(count, bank, empty_database(address)) as fleet:
                cost = fleet.run(bank)
                yield count, fleet.transactions(), cost


def markdown(sizes: Sequence[int] = SIZES, rows: int = ROWS) -> str:
    """Returns the costs as a table."""
    lines = ["| fleet run | cells | transactions a cell | CPU a cell | wall a cell | requests a cell | largest process |"]
    lines.append("|---" * 7 + "|")
    for count, transactions, cost in costs(sizes, rows):
        each = f"{cost.cpu / count:.1f} s | {cost.seconds / count:.1f} s | {cost.requests / count:.0f}"
        what = "every cell imports, stores, and builds its ledger"
        lines.append(f"| {what} | {count:,} | {transactions:,} | {each} | {cost.mebibytes:.0f} MiB |")
    if len(lines) == 2:
        return "The cost of a fleet was not measured: PostgreSQL is not installed here."
    load = f"{os.getloadavg()[2]:.1f} processes wanted one of {os.cpu_count()} processors in the last 15 minutes"
    return "\n".join([*lines, "", f"{AT_ONCE} cells at once, without PostgreSQL's part; {load}."])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description="Measures a fleet.")
    parser.add_argument("--cells", type=int, nargs="+", default=list(SIZES), help="sizes of the fleet (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=ROWS, help="transactions of the bank (default: %(default)s)")
    options = parser.parse_args(arguments)
    print(markdown(options.cells, options.rows))


if __name__ == "__main__":  # the bank's process imports this file too
    main(sys.argv[1:])
