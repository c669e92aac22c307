"""A dlt user's desk: a bank of the sandbox, a pipeline, and what the destination holds."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import dlt

from sources._deliveries import Mode
from sources._http import Http
from sources.kontist import kontist
from sources.kontomatik import kontomatik
from sources.kontomatik.client import KontomatikClient
from sources.sandbox import Account, Dialect, SandboxBank, World
from tests.support import a_bank

PRESENT = {
    "versions": "select {columns} from transactions where _dlt_valid_to is null",
    "rows": "select {columns} from transactions",
    "news": "select {columns} from transactions qualify row_number() over (partition by transaction_id order by read_at desc) = 1"
    " and not removed",
}
"""The rows that the bank shows now, by what the destination can keep: as the READMEs say."""


@dataclass
class Desk:
    """Kontist and one pipeline."""

    name = "kontist"
    bank: SandboxBank
    pipeline: dlt.Pipeline
    keeps: Mode

    @property
    def world(self) -> World:
        """What the bank shows."""
        return self.bank.world

    @property
    def accounts(self) -> list[Account]:
        """The accounts that the bank lists."""
        return [one for one in self.world.accounts if one.bank == self.name]

    def source(self, **asked: Any) -> Any:
        """The source with its login."""
        login = {"email": self.world.kontist_email, "password": self.world.kontist_password}
        return kontist(**{"base_url": self.bank.url, "requests_per_minute": 0} | login | asked)

    def load(self, *resources: str, **asked: Any) -> None:
        """Reads the bank and loads what it shows; of all resources, or of these."""
        source = self.source(**asked)
        chosen = source.with_resources(*resources) if resources else source
        self.pipeline.run(chosen, loader_file_format="parquet" if self.keeps == "news" else None)

    @property
    def cursors(self) -> Any:
        """What dlt's state holds of the source."""
        return self.pipeline.state["sources"][self.name]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Asks the destination."""
        with self.pipeline.sql_client() as client:
            return [tuple(row) for row in client.execute_sql(sql) or ()]

    def stored(self, table: str = "transactions") -> int:
        """Counts all rows of a table, earlier versions too."""
        return int(self.query(f"select count(*) from {table}")[0][0])

    def present(self) -> Any:
        """Returns the transactions that the destination shows now: the bank's id and the cents."""
        rows = self.query(PRESENT[self.keeps].format(columns="transaction_id, amount_cents"))
        found = {transaction_id.rpartition(":")[2]: int(cents) for transaction_id, cents in rows}
        assert len(found) == len(rows)
        return found

    def shown(self) -> Any:
        """Returns the transactions that the bank shows now."""
        return {str(row.id): row.cents for account in self.accounts for row in account.transactions}


@dataclass
class KontomatikDesk(Desk):
    """Kontomatik and one pipeline. The customer has signed in once."""

    name = "kontomatik"
    token: str = field(default="", repr=False)

    def sign_in(self) -> None:
        """Makes a consent and its first import, as whoever sells the service would."""
        http = Http("kontomatik", f"{self.bank.url}/v1")
        client = KontomatikClient(http, self.world.kontomatik_api_key, self.bank.dialect, poll_interval=0.01)
        session = client.mock_session(multiple_access=True)
        imported = client.wait(client.start_import(session, self.world.today).id, lambda: Nothing())
        self.token = imported.token or session.token or ""
        http.close()

    def source(self, **asked: Any) -> Any:
        """The source with its consent."""
        access = {"api_key": self.world.kontomatik_api_key, "multiple_access_token": self.token, "dialect": self.bank.dialect}
        return kontomatik(**{"base_url": f"{self.bank.url}/v1", "poll_interval": 0.01} | access | asked)

    def present(self) -> Any:
        """Counts the transactions that the destination shows now by day, amount and currency."""
        columns = "transaction_id, window_on, amount, currency"
        rows = self.query(PRESENT[self.keeps].format(columns=columns))
        assert len({row[0] for row in rows}) == len(rows)
        return Counter((str(day), int(amount * 100), currency) for _, day, amount, currency in rows)

    def shown(self) -> Any:
        """Counts the transactions that a reused consent shows now."""
        first = str(self.world.today - timedelta(days=89))
        rows = [(str(row.day), row.cents, one.currency) for one in self.accounts for row in one.transactions]
        return Counter(row for row in rows if row[0] >= first)


class Nothing:
    """A spool that keeps nothing."""

    def add(self, *_: Any) -> None: ...
    def reject(self, *_: Any) -> None: ...
    def clear(self) -> None: ...


@contextmanager
def desk(destination: Any, *, transactions: int = 60, page_size: int = 50) -> Iterator[Desk]:
    """Opens a desk at Kontist, in a small world of today: payments in two years, the last days among them."""
    with a_bank(World(transactions=transactions), page_size=page_size) as bank:
        yield Desk(bank, *_pipeline(destination, "kontist"))


@contextmanager
def kontomatik_desk(destination: Any, dialect: Dialect = "live", *, transactions: int = 250) -> Iterator[KontomatikDesk]:
    """Opens a desk at Kontomatik."""
    with a_bank(World(transactions=transactions), dialect=dialect) as bank:
        own = KontomatikDesk(bank, *_pipeline(destination, "kontomatik"))
        own.sign_in()
        yield own


def _pipeline(destination: Any, dataset: str) -> tuple[dlt.Pipeline, Mode]:
    pipeline = dlt.pipeline("bank", destination=destination, dataset_name=dataset)
    strategies = destination.capabilities().supported_merge_strategies
    return pipeline, "news" if "files" in destination.destination_name else "versions" if "scd2" in strategies else "rows"
