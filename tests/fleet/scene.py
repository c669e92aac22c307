"""A fleet of four cells on one or two machines: its settings, its processes, and how they are killed."""

import functools
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from pipelines.commands.cell_change import keeper_of
from pipelines.consents.clients import vault_of
from pipelines.consents.database import Database
from pipelines.consents.sign_in import MockLogin, mock_opening
from pipelines.consents.tables import cells
from pipelines.consents.vault import Consent
from pipelines.fleet.cells import of_customer
from pipelines.fleet.leases import LONGEST_WAIT, PATIENCE
from pipelines.fleet.workers import Process, Workers
from pipelines.read.options import Options, utc_now
from pipelines.run.report import Report
from pipelines.run.steps import Run
from pipelines.settings import FleetSettings, Settings
from pipelines.store.lock import held
from sources.sandbox import SandboxBank
from tests import plain_loads
from tests.consents.customers import NOON, add
from tests.consents.quick import published
from tests.fleet.stores import Store
from tests.support import VAULT_KEY, begun, environment, settings_for

CELLS = 4
ONLY = Options(("kontomatik",))
HOUR = timedelta(hours=1)
ONE_AT_A_TIME = threading.Lock()
"""Both machines ask one process for their forks."""


def fleet_settings(url: str, machine: Path, store: Store | None = None, bank: SandboxBank | None = None) -> Settings:
    """Returns the settings of a machine, whose copies of the cells are in its folder `cells`."""
    fleet = FleetSettings(cells=CELLS, folder=machine / "cells", store=None if store is None else store.address)
    own = Settings(vault_key=VAULT_KEY) if bank is None else settings_for(bank, machine / "data")
    kontist = replace(own.kontist, email=None, password=None)
    return replace(own, data_dir=machine / "data", vault_url=url, fleet=fleet, kontist=kontist)


def consent_of(settings: Settings, customer: str, *accounts: str, read_at: timedelta | None = None) -> str:
    """Stores a consent of a customer; `read_at` is how long before noon its last import was."""
    with vault_of(of_customer(settings, customer)) as vault:
        own = add(vault)
        vault.covers(own, accounts)
        if read_at is not None:
            vault.imported(own, NOON - read_at)
        return own


def time_passes(database: Database) -> None:
    """Has every sign of life be older than anybody waits for."""
    database.write(cells.update().values(beat_at=cells.c.beat_at - PATIENCE - sql.cast("1 second", sql.Interval)))


def waits_end(database: Database) -> None:
    """Has every cell have waited as long as one may after a failed run."""
    database.write(cells.update().values(retry_at=cells.c.retry_at - sql.cast(LONGEST_WAIT, sql.Interval)))


def connect(settings: Settings, customer: str, login: str) -> Consent:
    """Connects a customer at the test bank, and imports; returns the consent."""
    own = of_customer(settings, customer)
    assert run_cell(own, openings=mock_opening(utc_now, who=MockLogin(login))).status == "ok"
    with vault_of(own) as vault:
        return vault.consents()[-1]


@contextmanager
def cell_run(settings: Settings, **more: Any) -> Any:
    """Opens a run of the cell that the settings name, in this process."""
    with held(settings.data_dir, "test"), keeper_of(settings) as keeper, Run(settings, ONLY, keeper=keeper, **more) as steps:
        yield steps


def run_cell(settings: Settings, **more: Any) -> Report:
    """Reads a cell in this process, without a ledger."""
    with cell_run(settings, **more) as steps:
        steps.read_all()
        steps.load()
        steps.publish()
    steps.report.published = published(settings.data_dir)
    return steps.report


@dataclass
class Machine:
    """A machine whose workers start forks in place of interpreters. `deaths` says where the run of a cell is killed, once."""

    settings: Settings
    bank: SandboxBank
    deaths: dict[str, str] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)

    def workers(self, at_most: int = 2) -> Workers:
        """Returns the workers of one `fleet run` there, for which everything is due."""
        return Workers(self.settings, timedelta(0), at_most, self.start)

    def variables(self) -> dict[str, str]:
        """Returns the environment of a process there, with this process's credentials for S3."""
        fleet = self.settings.fleet
        ours = {
            "PIPELINES__VAULT_URL": str(self.settings.vault_url),
            "FLEET__CELLS": str(fleet.cells),
            "FLEET__FOLDER": str(fleet.folder),
            "FLEET__STORE": fleet.store or "",
            "SOURCES__KONTIST__EMAIL": "",
            "SOURCES__KONTIST__PASSWORD": "",
        }
        of_s3 = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        return environment(self.bank) | ours | of_s3

    def start(self, arguments: Sequence[str], variables: Mapping[str, str]) -> Process:
        """Starts a command in a fork, which may have to die."""
        cell = Path(arguments[arguments.index("--data-dir") + 1]).name
        self.begun.append(cell)
        folder = self.settings.fleet.folder
        folder.mkdir(parents=True, exist_ok=True)
        dying = functools.partial(lighter, self.deaths.pop(cell, None))
        with ONE_AT_A_TIME:
            found: Process = begun(folder, self.variables() | dict(variables), *arguments, inside=dying)
        return found


def lighter(death: str | None) -> None:
    """In a fork: raw history is loaded without dlt, no ledger is built, and the process dies where it has to."""
    import pipelines.store.ledger as ledgers
    from pipelines.fleet.leases import Leases
    from pipelines.fleet.raw_store import RawStore

    plain_loads.use(pytest.MonkeyPatch())
    ledgers.build_and_publish = published
    match death:
        case "lease":
            dies_after(Leases, "adopted")
        case "upload":
            dies_after(RawStore, "put")
        case "swap":
            dies_after(Leases, "swap")


def dies_after(owner: Any, name: str) -> None:
    """Has a process kill itself once a method has done its work."""
    way: Callable[..., Any] = getattr(owner, name)

    def deadly(*about: Any, **more: Any) -> None:
        way(*about, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, deadly)
