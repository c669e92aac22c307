"""A command that is killed between any two of its steps, and the next run, which ends in the right state.

After each kill the bank is asked which tokens are alive: none may be lost, and none left behind.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sql

from pipelines.consents.tables import attempts
from pipelines.settings import Settings
from sources.sandbox import SandboxBank
from tests.consents.customers import DIALECTS, Given, SignsIn, a_bank, settings_for, states, stored_tokens, the_vault
from tests.consents.killing import Killer, Victim, environment

Folder = Callable[[], Path]
SIGN_IN = ("connect", "kontomatik", "--target", "KontoBankApi", "--json")
BOTH = pytest.mark.parametrize("dialect", DIALECTS)
ONE = pytest.mark.parametrize("dialect", ["openapi"])
"""For what differs from the other commands in steps of our own only."""


class Scene:
    """A bank that Ben, who has one account, signs in to, and data directories that a command is killed in."""

    def __init__(self, killer: Killer, bank: SandboxBank, given: Given, new_folder: Folder) -> None:
        self.killer, self.bank, self.given, self._new_folder = killer, bank, given, new_folder
        self.start: Path | None = None
        self.tokens_at_start: list[str] = []

    def begin(self) -> Settings:
        """A data directory as it is before the command, at a bank that has forgotten what happened since."""
        world = self.bank.world
        world.imports.clear()
        world.revoked.clear()
        self.bank.kontomatik.sign_ins.clear()
        for token in self.given.tokens:
            if token not in self.tokens_at_start:
                world.revoked.add(str((self.bank.kontomatik.tokens.read(token, "consent") or {}).get("jti")))
        self.given.tokens[:] = self.tokens_at_start
        folder = self._new_folder()
        if self.start is not None:
            shutil.copytree(self.start, folder, dirs_exist_ok=True)
        return settings_for(self.bank, folder)

    def run(self, settings: Settings, *arguments: str, environ: dict[str, str] | None = None, **more: Any) -> Victim:
        return self.killer.run(environment(self.bank, settings.data_dir) | (environ or {}), *arguments, **more)

    def killed_at_every_step(self, *arguments: str, of: tuple[str, ...] = ("",)) -> Iterator[tuple[str, Settings]]:
        """The command in a fresh start for each of its steps, killed before that; only steps that begin like one of `of`."""
        steps, number = self.run(self.begin(), *arguments).steps, 0
        assert len(steps) > 4
        for number, step in enumerate(steps, 1):
            if step.startswith(of):
                settings = self.begin()
                victim = self.run(settings, *arguments, before=number)
                assert (victim.killed, _kind(victim.steps[-1])) == (True, _kind(step))
                yield _kind(step), settings

    def is_settled_at(self, settings: Settings) -> Settings:
        """Every later command starts from this data directory."""
        self.start = settings.data_dir
        self.tokens_at_start = list(self.given.tokens)
        return settings

    def imports_at_the_bank(self) -> int:
        return max((len(times) for times in self.bank.world.imports.values()), default=0)


@pytest.fixture
def scene(the_killer: Killer, new_folder: Folder, dialect: str) -> Iterator[Scene]:
    with a_bank(None, SignsIn(login="test2"), dialect=dialect, imports_per_day=1000) as (bank, given):
        yield Scene(the_killer, bank, given, new_folder)


@BOTH
def test_connect(scene: Scene, dialect: str) -> None:
    files = "file raw.new"  # the others are the load's own matter
    for step, settings in scene.killed_at_every_step(*SIGN_IN, of=("POST", "GET", "vault", files)):
        after = scene.run(settings, "run", "--json")

        assert len(recorded(settings)) >= scene.imports_at_the_bank(), step
        if step in ("vault refuse_unwritable", "GET health", "POST signin/redirection", "vault add"):
            # the customer has not seen the link yet
            assert (after.status, states(settings), scene.given.alive()) == (2, {}, []), step
        elif step == "vault note_command" and dialect == "openapi":
            # Only the import's answer holds the token, and only the lost answer held the import's number.
            assert (after.status, [*states(settings).values()]) == (1, ["expired"]), step
            assert after.parsed["sources"]["kontomatik"]["errors"][0]["reason"].startswith("kontomatik: the session has made")
        else:
            assert (after.status, [*states(settings).values()]) == (0, ["active"]), step
            assert scene.given.alive() == stored_tokens(settings) == scene.given.tokens, step
            if step == "vault note_command":
                assert scene.imports_at_the_bank() == 2  # the first was accepted, and what came of it nobody knows
            else:
                assert shown(settings) == rows_at(scene.bank), step


@BOTH
def test_a_run(scene: Scene, dialect: str) -> None:
    scene.run(scene.is_settled_at(scene.begin()), *SIGN_IN)
    scene.tokens_at_start = list(scene.given.tokens)
    before = recorded(settings_for(scene.bank, scene.start))

    for step, settings in scene.killed_at_every_step("run", "--json", of=("POST", "GET", "vault", "file raw.new")):
        after = scene.run(settings, "run", "--json")

        assert (after.status, [*states(settings).values()]) == (0, ["active"]), step
        assert scene.given.alive() == stored_tokens(settings) == scene.tokens_at_start, step
        assert len(recorded(settings)) - len(before) >= scene.imports_at_the_bank(), step
        lost = {"vault note_command", "POST command/default-import.xml"} if dialect == "live" else {"vault note_command"}
        done = step == "vault imported" or (step, dialect) == ("vault note", "live")
        assert scene.imports_at_the_bank() == (2 if step in lost or done else 1), step
        assert shown(settings) == rows_at(scene.bank), step


@BOTH
def test_renew(scene: Scene, dialect: str) -> None:
    scene.run(scene.is_settled_at(scene.begin()), *SIGN_IN)
    scene.tokens_at_start = list(scene.given.tokens)
    (old,) = states(settings_for(scene.bank, scene.start))

    # Up to the first import it is what `connect` does.
    steps = ("POST command/d", "vault note_command", "vault imported", "vault move")
    if dialect == "openapi":
        steps += ("vault keep", "vault covers", "file raw.new", "vault end", "vault note")
    for step, settings in scene.killed_at_every_step("consents", "renew", old, "--json", of=steps):
        after = scene.run(settings, "run", "--json")

        found = states(settings)
        if step == "vault note_command" and dialect == "openapi":
            assert (after.status, [*found.values()]) == (4, ["active", "expired"]), step
            assert scene.tokens_at_start[0] in scene.given.alive(), step
        else:
            assert after.status == 0, step
            # One import is left of the day, for whichever of the two asks first: if it is the old one, the new one's is tomorrow.
            if step == "vault note_command" and [*found.values()] == ["active", "active"]:
                scene.run(settings, "run", "--json", ahead=timedelta(hours=25))
                found = states(settings)
            assert [*found.values()] == ["revoked", "active"], step
            assert scene.given.alive() == stored_tokens(settings) == scene.given.tokens[1:], step
        assert len(recorded(settings)) >= scene.imports_at_the_bank(), step
        assert len(accounts(settings)) == 1, step


@ONE
def test_revoke(scene: Scene, dialect: str) -> None:
    scene.run(scene.is_settled_at(scene.begin()), *SIGN_IN)
    scene.tokens_at_start = list(scene.given.tokens)
    (own,) = states(settings_for(scene.bank, scene.start))
    steps = []

    for number in range(1, 10):
        settings = scene.begin()
        victim = scene.run(settings, "consents", "revoke", own, "--json", before=number)
        steps.append(_kind(victim.steps[-1]))
        if not victim.killed:
            break
        asked = number > 1
        after = scene.run(settings, "run", "--json")
        assert states(settings) == {own: "revoked" if asked else "active"}, victim.steps
        assert scene.given.alive() == ([] if asked else scene.tokens_at_start), victim.steps
        assert not asked or scene.imports_at_the_bank() == 0
        assert after.status in (0, 2), victim.steps
    assert steps[0] == steps[-1] == "vault move"
    assert "POST command/delete-multiple-access.xml" in steps


@ONE
def test_erase(scene: Scene, dialect: str) -> None:
    """Ada's accounts stay; her quota is used up, so that the next run has nothing else to do."""
    settings = scene.begin()
    scene.run(settings, *SIGN_IN)
    (own,) = states(settings)
    scene.bank.faults[:] = [SignsIn()]
    scene.run(settings, *SIGN_IN)
    scene.is_settled_at(settings)
    own, other = states(settings)
    receipts = []

    for step, settings in scene.killed_at_every_step("consents", "erase", own, "--yes", "--json"):
        after = scene.run(settings, "run", "--json", environ={"SOURCES__KONTOMATIK__IMPORTS_PER_DAY": "0"})
        found = states(settings)
        if step == "vault ask_erasure":
            assert found == {own: "active", other: "active"}, step
            continue
        assert (after.status, found) == (0, {own: "erased", other: "active"}), (step, after)
        assert scene.given.alive() == [scene.tokens_at_start[1]], step
        assert len(stored_tokens(settings)) == 1, step
        receipts.append(json.loads((settings.data_dir / "receipts" / f"erased-{own}.json").read_text()))
        assert [path.name for path in (settings.data_dir / "receipts").glob("erasing*")] == [], step
    for receipt in receipts:
        assert receipt["rows_removed"] == receipts[0]["rows_removed"] != {}
        assert receipt["steps"] == receipts[0]["steps"]


@ONE
def test_erase_of_the_only_consent(scene: Scene, dialect: str) -> None:
    scene.run(scene.is_settled_at(scene.begin()), *SIGN_IN)
    scene.tokens_at_start = list(scene.given.tokens)
    (own,) = states(settings_for(scene.bank, scene.start))

    for _, settings in scene.killed_at_every_step("consents", "erase", own, "--yes", of=("file raw.erased",)):
        after = scene.run(settings, "run", "--json")
        assert (after.status, states(settings)) == (0, {own: "erased"})


def _kind(step: str) -> str:
    return "GET command" if step.startswith("GET command/") else step


def recorded(settings: Settings) -> list[Any]:
    """All attempts that are on record."""
    with the_vault(settings) as vault:
        return vault.database.read(sql.select(attempts))


def shown(settings: Settings) -> int:
    """Booked rows in raw history, each once."""
    ((found, distinct),) = _query(settings, "select count(*), count(distinct transaction_id) from kontomatik.transactions")
    assert found == distinct
    return int(found)


def rows_at(bank: SandboxBank) -> int:
    """What the bank has of Ben's account."""
    return sum(row.booked_on is not None for row in bank.world.account("Konto Wspólne").transactions)


def accounts(settings: Settings) -> list[Any]:
    return _query(settings, "select distinct account_id from kontomatik.accounts")


def _query(settings: Settings, query: str) -> list[Any]:
    with duckdb.connect(settings.data_dir / "raw.duckdb", read_only=True) as connection:
        return connection.execute(query).fetchall()
