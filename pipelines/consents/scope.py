"""Narrows a vault to the consents of one cell, and records in which cell a customer is.

A fleet keeps its customers in many data directories, the cells, with one vault. A customer is wholly in one cell, so that
transfers between the customer's own accounts are found.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from pipelines.consents.tables import cells, consents, customers
from pipelines.errors import Failure, WrongUsage

if TYPE_CHECKING:
    from pipelines.consents.database import Database
    from pipelines.settings import Settings

ASSIGNING = "customers"
"""The lock under which customers get their cells: two at once must neither differ nor both count as the emptiest cell's."""
LONGEST_CUSTOMER = 200


@dataclass(frozen=True)
class Scope:
    """The part of a vault that a command works on: all of it, or one cell. `customer` is whose consents are added."""

    fleet: bool = False
    cell: str | None = None
    customer: str | None = None

    @staticmethod
    def of(settings: "Settings") -> "Scope":
        """Returns the scope of a command that has these settings."""
        return Scope(bool(settings.fleet.cells), settings.cell, settings.customer)

    def narrowed(self, query: sql.Select[Any]) -> sql.Select[Any]:
        """Returns a query of `consents` that finds those of the cell only."""
        return query if self.cell is None else query.where(consents.c.cell == self.cell)

    def same_cell(self, reader: sql.FromClause) -> sql.ColumnElement[bool]:
        """Returns the condition that is true for the consents of the cell, in another use of the table `consents`."""
        return sql.true() if self.cell is None else reader.c.cell == self.cell

    def holds(self, consent_id: sql.ColumnElement[str]) -> sql.ColumnElement[bool]:
        """Returns the condition that is true for the consents of the cell."""
        if self.cell is None:
            return sql.true()
        return consent_id.in_(sql.select(consents.c.consent_id).where(consents.c.cell == self.cell))

    def place(self, connection: sql.Connection, database: "Database", replaces: str | None) -> dict[str, str]:
        """Returns cell and customer of a new consent: those of the consent that it replaces, else of the scope's customer.

        Raises `WrongUsage` in a fleet without a customer, `Failure` when the customer has another cell than the scope.
        """
        if not self.fleet:
            return {}
        before = sql.select(consents.c.cell, consents.c.customer).where(consents.c.consent_id == replaces)
        found = connection.execute(before).first()
        customer = found.customer if found is not None else self.customer
        if customer is None:
            raise WrongUsage("In a fleet a consent belongs to a customer, and none is named", "Give --customer")
        cell = assigned(connection, database, customer)
        if self.cell not in (None, cell):
            raise Failure(f"The customer is in {cell} and not in {self.cell}", "Run it again")
        return {"cell": cell, "customer": customer}


EVERYTHING = Scope()
"""All of a vault."""


def assigned(connection: sql.Connection, database: "Database", customer: str) -> str:
    """Returns the customer's cell, which is recorded now if the customer is new: the one with the fewest customers.

    Raises `WrongUsage` where there are no cells.
    """
    if not customer or len(customer) > LONGEST_CUSTOMER or not customer.isprintable() or customer != customer.strip():
        raise WrongUsage(
            f"A customer is one line of 1 to {LONGEST_CUSTOMER} characters, without blanks at its ends",
            "Give the platform's own id",
        )
    database.lock(connection, [ASSIGNING])
    known = connection.execute(sql.select(customers.c.cell).where(customers.c.customer == customer)).scalar()
    if known is not None:
        return str(known)
    emptiest = (
        sql.select(cells.c.cell)
        .join(customers, customers.c.cell == cells.c.cell, isouter=True)
        .group_by(cells.c.cell)
        .order_by(sql.func.count(customers.c.customer), cells.c.cell)
        .limit(1)
    )
    cell = connection.execute(emptiest).scalar()
    if cell is None:
        raise WrongUsage("The fleet has no cells yet", "Run `python -m pipelines fleet init`")
    connection.execute(customers.insert().values(customer=customer, cell=cell))
    return str(cell)


def forget_customer(connection: sql.Connection, consent_id: str) -> None:
    """Removes the customer of a consent that is erased; the customer's cell, too, when no other consent is left."""
    customer = connection.execute(sql.select(consents.c.customer).where(consents.c.consent_id == consent_id)).scalar()
    if customer is None:
        return
    connection.execute(consents.update().where(consents.c.consent_id == consent_id).values(customer=None))
    if not connection.execute(sql.select(consents.c.consent_id).where(consents.c.customer == customer).limit(1)).first():
        connection.execute(customers.delete().where(customers.c.customer == customer))


def add_cells(database: "Database", names: Iterable[str]) -> int:
    """Makes the cells that are not there yet; returns how many."""
    with database.transaction() as connection:
        database.lock(connection, [ASSIGNING])
        there = set(connection.execute(sql.select(cells.c.cell)).scalars())
        rows = [{"cell": name, "version": 0} for name in names if name not in there]
        if rows:
            connection.execute(cells.insert(), rows)
    return len(rows)
