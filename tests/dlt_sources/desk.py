"""A dlt user's desk: a bank of the sandbox, a pipeline, and what the destination holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dlt

from sources.kontist import kontist
from sources.sandbox import SandboxBank, World, running

PRESENT = {
    True: "select {columns} from transactions where _dlt_valid_to is null",
    False: "select {columns} from transactions qualify row_number() over (partition by transaction_id order by read_at desc) = 1"
    " and not removed",
}
"""The rows that the bank shows now, where the destination keeps versions and where it does not: as the README says."""


@dataclass
class Desk:
    """One bank and one pipeline."""

    bank: SandboxBank
    pipeline: dlt.Pipeline
    keeps_versions: bool

    @property
    def world(self) -> World:
        """What the bank shows."""
        return self.bank.world

    def source(self, **asked: Any) -> Any:
        """Kontist with its login."""
        login = {"email": self.world.kontist_email, "password": self.world.kontist_password}
        return kontist(**{"base_url": self.bank.url, "requests_per_minute": 0} | login | asked)

    def load(self, **asked: Any) -> None:
        """Reads the bank and loads what it shows."""
        self.pipeline.run(self.source(**asked), loader_file_format=None if self.keeps_versions else "parquet")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Asks the destination."""
        with self.pipeline.sql_client() as client:
            return [tuple(row) for row in client.execute_sql(sql) or ()]

    def stored(self, table: str = "transactions") -> int:
        """Counts all rows of a table, earlier versions too."""
        return int(self.query(f"select count(*) from {table}")[0][0])

    def present(self) -> dict[str, int]:
        """Returns the transactions that the destination shows now: the bank's id and the cents."""
        rows = self.query(PRESENT[self.keeps_versions].format(columns="source_transaction_id, transaction_id, amount_cents"))
        assert len({row[1] for row in rows}) == len(rows)
        return {transaction_id.rpartition(":")[2]: int(cents) for _, transaction_id, cents in rows}

    def shown(self) -> dict[str, int]:
        """Returns the transactions that the bank shows now."""
        accounts = [one for one in self.world.accounts if one.bank == "kontist"]
        return {str(row.id): row.cents for account in accounts for row in account.transactions}


@contextmanager
def desk(destination: Any, world: World | None = None, name: str = "bank") -> Iterator[Desk]:
    """Opens a desk at a small world of today: 60 payments in two years, the last days among them."""
    with running(world or World(transactions=60)) as bank:
        pipeline = dlt.pipeline(name, destination=destination, dataset_name="kontist")
        yield Desk(bank, pipeline, keeps_versions="filesystem" not in destination.destination_type)
