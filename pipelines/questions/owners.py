"""Lists the owners of accounts as the ledger has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Owner:
    """A person who owns accounts, with the consents that show them."""

    owner_id: str
    name: str | None
    kind: str | None
    consents: tuple[str, ...]
    accounts: tuple[str, ...]
    national_id: str | None = field(default=None, repr=False)
    """Only where it is kept, and was asked for."""


def owners(connection: "DuckDBPyConnection") -> list[Owner]:
    """Returns the owners of the published ledger, by name."""
    found = connection.execute(
        """
        select owner_id, name, kind, consents, list(account_id order by account_id) filter (where account_id is not null)
        from main.owners left join main.account_owners using (owner_id)
        group by all
        order by name, owner_id
        """
    ).fetchall()
    return [Owner(key, name, kind, tuple(consents), tuple(accounts or ())) for key, name, kind, consents, accounts in found]


def revealed(listed: list[Owner], numbers: Mapping[str, str]) -> list[Owner]:
    """Returns the owners with their national ids, as far as `numbers` has them by owner id."""
    return [replace(one, national_id=numbers.get(one.owner_id)) for one in listed]
