"""Knows the cells of a fleet: which there are, whose they are, which are due, and how their last runs ended."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sql

from pipelines.consents.database import Database
from pipelines.consents.quota import MAY_BE_AHEAD
from pipelines.consents.scope import add_cells, assigned
from pipelines.consents.states import USABLE
from pipelines.consents.tables import cells, consent_accounts, consents, customers
from pipelines.errors import WrongUsage
from pipelines.fleet.leases import PATIENCE
from pipelines.settings import Settings
from pipelines.store.sql import as_text

TO_BE_FINISHED = ("pending", "replaced", "revoking")
"""States of a consent that a run has to bring to an end, whenever the last one was."""


@dataclass(frozen=True)
class CellStatus:
    """What the vault knows of a cell. `status` is the exit status of its last run by `fleet run`.

    `holder` works on it now, and gave its last sign of life at `beat_at`.
    """

    cell: str
    version: int
    customers: int
    holder: str | None
    beat_at: datetime | None
    ended_at: datetime | None
    status: int | None
    trouble: str | None
    object: str | None
    object_before: str | None
    erased_version: int | None
    failures: int
    """Runs that have failed in a row."""
    retry_at: datetime | None
    """When the next run may begin, where a failed one has to be waited for; a past time counts no more."""


def name_of(number: int) -> str:
    """Returns the name of a cell, which is also that of its folder."""
    return f"cell-{number:04d}"


@contextmanager
def fleet_of(settings: Settings) -> Iterator[Database]:
    """Opens the vault's database of a fleet. Raises `WrongUsage` where the settings describe none."""
    if not settings.fleet.cells:
        raise WrongUsage("There is no fleet: the setting fleet.cells is 0", "Set fleet.cells and fleet.folder (docs/fleet.md)")
    if not settings.vault_url:
        raise WrongUsage("A fleet needs a vault that its cells share", "Set pipelines.vault_url to a PostgreSQL database")
    with closing(Database(settings.data_dir / "none", settings.vault_url)) as database:
        if not database.is_shared:
            raise WrongUsage("A fleet needs a vault in PostgreSQL", "Set pipelines.vault_url to a PostgreSQL database")
        yield database


def make_cells(settings: Settings) -> int:
    """Makes the cells that the settings ask for and that are not there yet; returns how many."""
    with fleet_of(settings) as database:
        return add_cells(database, map(name_of, range(settings.fleet.cells)))


def of_customer(settings: Settings, customer: str) -> Settings:
    """Returns the settings of the cell that the customer is in; a new customer is put into the emptiest one, and stays there."""
    with fleet_of(settings) as database, database.transaction() as connection:
        cell = assigned(connection, database, customer)
    return replace(settings, data_dir=settings.fleet.folder / cell, customer=customer)


def of_consent(settings: Settings, consent_id: str) -> Settings:
    """Returns the settings of the cell that a consent is in. Raises `WrongUsage` for an unknown consent."""
    with fleet_of(settings) as database:
        found = database.read(sql.select(consents.c.cell).where(consents.c.consent_id == consent_id))
    if not found:
        raise WrongUsage(f"There is no consent {consent_id}", "See `python -m pipelines consents list`")
    if found[0].cell is None:
        raise WrongUsage(f"Consent {consent_id} is in no cell", "It was stored without a fleet: connect its customer again")
    return replace(settings, data_dir=settings.fleet.folder / found[0].cell)


def consents_of(settings: Settings, customer: str) -> tuple[Settings, frozenset[str]]:
    """Returns the settings of the customer's cell, and the customer's consents. Raises `WrongUsage` for an unknown customer."""
    with fleet_of(settings) as database:
        known = database.read(sql.select(customers.c.cell).where(customers.c.customer == customer))
        theirs = database.read(sql.select(consents.c.consent_id).where(consents.c.customer == customer))
    if not known:
        raise WrongUsage(
            f"There is no customer {customer}",
            "Give the id that `connect --customer` had; it is forgotten when the customer's last consent is erased",
        )
    own = replace(settings, data_dir=settings.fleet.folder / known[0].cell)
    return own, frozenset(str(row.consent_id) for row in theirs)


def refuse_without_cells(database: Database) -> None:
    """Raises `WrongUsage` for a vault without cells: it is new, or another one than that of the fleet."""
    if not database.read(sql.select(cells.c.cell).limit(1)):
        raise WrongUsage("The fleet has no cells yet", "Run `python -m pipelines fleet init`")


@dataclass(frozen=True)
class DueCells:
    """The cells with something to do, the most urgent first. Those in `waiting` do not run yet, since their last runs failed.

    A cell does not wait with an erasure that was asked for since.
    """

    ready: list[str]
    waiting: list[str]


def due_cells(database: Database, after: timedelta, now: datetime) -> DueCells:
    """Returns the cells with something to do, and those of them that wait.

    First come those with something to finish (a sign-in, a revocation, an erasure) or an account that was never read. Then those
    with an account whose last import, through whichever consent of the cell, is at least `after` ago, the stalest first.
    """
    reader = consents.alias()
    reads = (
        sql.select(consent_accounts.c.account_id, reader.c.cell, sql.func.max(reader.c.last_import_at).label("read_at"))
        .join(reader, reader.c.consent_id == consent_accounts.c.consent_id)
        .group_by(consent_accounts.c.account_id, reader.c.cell)
        .subquery()
    )
    of_account = reads.c.account_id == consent_accounts.c.account_id
    last = sql.func.coalesce(reads.c.read_at, consents.c.last_import_at, "")
    by_right_clock = sql.case((last > as_text(now + MAY_BE_AHEAD), ""), else_=last)
    stalest = (
        sql.select(consents.c.cell, sql.func.min(by_right_clock).label("since"))
        .join(consent_accounts, consent_accounts.c.consent_id == consents.c.consent_id, isouter=True)
        .join(reads, of_account & (reads.c.cell == consents.c.cell), isouter=True)
        .where(consents.c.cell.is_not(None), consents.c.status.in_(USABLE))
        .group_by(consents.c.cell)
    )
    erasing = consents.c.erase_asked_at.is_not(None) & (consents.c.status != "erased")
    waiting = consents.c.status.in_(TO_BE_FINISHED) | erasing
    unfinished = sql.select(consents.c.cell).distinct().where(consents.c.cell.is_not(None), waiting)
    found = {str(row.cell): str(row.since) for row in database.read(stalest)}
    found |= {str(row.cell): "" for row in database.read(unfinished)}
    latest = as_text(now - after)
    due = sorted((cell for cell, since in found.items() if since <= latest), key=lambda cell: (found[cell], cell))
    held_back = sql.select(cells.c.cell, cells.c.ended_at).where(cells.c.retry_at > sql.func.clock_timestamp())
    asked = sql.select(consents.c.cell, sql.func.max(consents.c.erase_asked_at).label("at")).where(erasing)
    asked_at = {str(row.cell): str(row.at) for row in database.read(asked.group_by(consents.c.cell))}
    later = {str(row.cell) for row in database.read(held_back) if asked_at.get(str(row.cell), "") <= as_text(row.ended_at)}
    return DueCells([cell for cell in due if cell not in later], [cell for cell in due if cell in later])


def cell_statuses(database: Database) -> list[CellStatus]:
    """Returns the status of every cell, by name."""
    count = sql.func.count(customers.c.customer).label("customers")
    alive = cells.c.beat_at >= sql.func.clock_timestamp() - PATIENCE
    query = (
        sql.select(cells, sql.case((alive, cells.c.holder)).label("working"), count)
        .join(customers, customers.c.cell == cells.c.cell, isouter=True)
        .group_by(cells.c.cell)
        .order_by(cells.c.cell)
    )
    return [
        CellStatus(
            cell=row.cell,
            version=row.version or 0,
            customers=row.customers,
            holder=row.working,
            beat_at=row.beat_at if row.working else None,
            ended_at=row.ended_at,
            status=row.status,
            trouble=row.trouble,
            object=row.object,
            object_before=row.object_before,
            erased_version=row.erased_version,
            failures=row.failures or 0,
            retry_at=row.retry_at,
        )
        for row in database.read(query)
    ]


def misplaced(database: Database) -> list[str]:
    """Returns a sentence for each consent that is in no cell, or in another one than its customer."""
    elsewhere = consents.c.cell.is_(None) | (consents.c.cell != customers.c.cell)
    query = (
        sql.select(consents.c.consent_id, consents.c.cell, customers.c.cell.label("right"))
        .join(customers, customers.c.customer == consents.c.customer, isouter=True)
        .where(elsewhere, consents.c.status != "erased")
        .order_by(consents.c.consent_id)
    )
    return [
        f"consent {row.consent_id} is in {row.cell or 'no cell'}" + (f", its customer in {row.right}" if row.right else "")
        for row in database.read(query)
    ]
