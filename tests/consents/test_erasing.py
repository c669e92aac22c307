"""An erasure that is asked for: nothing is recorded too early, what waits is shown and can be withdrawn, the receipt is proof."""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import pipelines.store.ledger as ledgers
from pipelines.commands import consents
from pipelines.commands.cli import parser
from pipelines.commands.sandbox import sandbox
from pipelines.consents import revocation, upkeep
from pipelines.consents.vault import Consent
from pipelines.errors import Failure, WrongUsage
from pipelines.settings import Settings
from pipelines.store.leftovers import fresh_work
from sources.sandbox import Refuses, SandboxBank, World
from tests.consents.customers import (
    DIALECTS,
    OTHER_KEY,
    a_bank,
    connected,
    only_ben,
    read,
    settings_for,
    states,
    the_vault,
    with_kontomatik,
)
from tests.consents.killing import environment

pytestmark = pytest.mark.usefixtures("quick")
NO_DELETION = "delete-multiple-access"
UNREACHED = {
    "no API key": ("SOURCES__KONTOMATIK__API_KEY", ""),
    "no address of a bank": ("SOURCES__KONTOMATIK__BASE_URL", "http://bank.example.test/v1"),
    "no vault key": ("PIPELINES__VAULT_KEY", ""),
    "another vault key": ("PIPELINES__VAULT_KEY", OTHER_KEY),
}


@contextmanager
def a_consent(folder: Path, dialect: str = "openapi") -> Iterator[tuple[SandboxBank, Settings, Consent]]:
    """One consent, of Ben's one account, imported."""
    with a_bank(World(transactions=12), dialect=dialect) as (bank, _):
        only_ben(bank)
        settings = settings_for(bank, folder)
        yield bank, settings, connected(bank, settings)


def erase(bank: SandboxBank, settings: Settings, patch: pytest.MonkeyPatch, *arguments: str, **environ: str) -> int:
    """`consents erase` without a terminal."""
    for name, value in (environment(bank, settings.data_dir) | environ).items():
        patch.setenv(name, value)
    patch.setattr("sys.stdin", io.StringIO(""))
    return consents.erase(parser().parse_args(["consents", "erase", *arguments]))


def recorded(settings: Settings, consent: Consent) -> tuple[Any, list[str]]:
    with the_vault(settings) as vault:
        found = vault.consent(consent.consent_id)
        return (found.status, found.erase_asked_at), [entry.what for entry in vault.trail(consent.consent_id)]


@pytest.mark.parametrize("slip", UNREACHED)
def test_an_erasure_that_the_settings_do_not_allow_is_not_recorded(
    new_folder: Any, monkeypatch: pytest.MonkeyPatch, slip: str
) -> None:
    with a_consent(new_folder()) as (bank, settings, own):
        before = recorded(settings, own)
        name, value = UNREACHED[slip]
        with pytest.raises(Failure) as caught:
            erase(bank, settings, monkeypatch, own.consent_id, "--yes", **{name: value})
        assert caught.value.exit_status == (1 if slip == "another vault key" else 2)
        assert recorded(settings, own) == before
        with pytest.raises(Failure):
            upkeep.end(with_kontomatik(settings, api_key=None), own.consent_id, bank.world.clock.now, erase=True)
        assert recorded(settings, own) == before


def test_without_a_terminal_an_erasure_is_confirmed_or_nothing_is_recorded(
    new_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_consent(new_folder()) as (bank, settings, own):
        before = recorded(settings, own)
        with pytest.raises(WrongUsage, match="--yes is not given; nothing was recorded"):
            erase(bank, settings, monkeypatch, own.consent_id)
        assert recorded(settings, own) == before
        assert erase(bank, settings, monkeypatch, own.consent_id, "--yes") == 0
        assert states(settings) == {own.consent_id: "erased"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_erasure_that_waits_is_shown_and_can_be_withdrawn(
    new_folder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    with a_consent(new_folder(), dialect) as (bank, settings, own):
        bank.faults.append(Refuses(times=1, exception="ServiceMaintenance", path_contains=NO_DELETION))
        with pytest.raises(
            revocation.StillRevoking, match=f"is recorded.*consents erase {own.consent_id} --cancel` withdraws it"
        ):
            erase(bank, settings, monkeypatch, own.consent_id, "--yes")

        capsys.readouterr()
        assert consents.show_list(parser().parse_args(["consents", "list", "--json"])) == 0
        (shown,) = json.loads(capsys.readouterr().out)["consents"]
        assert (shown["status"], shown["imports_left"], bool(shown["erase_asked_at"])) == ("erasing", None, True)
        assert consents.show_list(parser().parse_args(["consents", "list"])) == 0
        assert "--cancel" in capsys.readouterr().out.replace("\n", " ")

        assert erase(bank, settings, monkeypatch, own.consent_id, "--cancel") == 0
        assert "the consent is revoking, its data stays" in capsys.readouterr().out
        with pytest.raises(WrongUsage, match=r"No erasure .* waits"):
            erase(bank, settings, monkeypatch, own.consent_id, "--cancel")
        read(bank, settings)
        assert recorded(settings, own)[0] == ("revoked", None)
        assert "erasure withdrawn" in recorded(settings, own)[1]


def test_an_erasure_that_has_begun_says_that_it_cannot_be_withdrawn(new_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command, by the run that goes on with it, and by the schedule of its own."""
    with a_consent(new_folder()) as (bank, settings, own):
        published, refused = ledgers.build_and_publish, Failure("The disk is full", "Make room")
        monkeypatch.setattr(ledgers, "build_and_publish", lambda *_, **__: (_ for _ in ()).throw(Failure(refused.cause)))
        begun = f"The erasure of consent {own.consent_id} has begun and cannot be withdrawn"
        with pytest.raises(Failure, match=begun):
            erase(bank, settings, monkeypatch, own.consent_id, "--yes")
        with pytest.raises(Failure, match=begun):
            read(bank, settings)
        assert begun in upkeep.tidy(settings, bank.world.clock.now).troubles[0]
        with pytest.raises(WrongUsage, match=begun):
            erase(bank, settings, monkeypatch, own.consent_id, "--cancel")
        monkeypatch.setattr(ledgers, "build_and_publish", published)
        upkeep.tidy(settings, bank.world.clock.now)
        assert states(settings) == {own.consent_id: "erased"}


def test_a_receipt_says_who_and_why_and_the_trail_has_its_hash(new_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ada-of-operations")
    with a_consent(new_folder()) as (bank, settings, own):
        spool = fresh_work(settings.data_dir) / "kontomatik-1.parquet"
        left = (spool, *(settings.data_dir / name for name in ("raw.previous.duckdb.new", "ledger.new.duckdb", "query.history")))
        for path in left:  # by a run that was killed, and by somebody who asked for a name
            path.touch()
        with the_vault(settings) as vault:
            (ours,) = vault.histories()
            vault.belongs_to("h-elsewhere", bank.world.clock.now())
        assert erase(bank, settings, monkeypatch, own.consent_id, "--yes", "--reason", "customer asked, ticket 4711") == 0
        assert not any(path.exists() for path in left)
        path = settings.data_dir / "receipts" / f"erased-{own.consent_id}.json"
        receipt = json.loads(path.read_text())
        with the_vault(settings) as vault:
            last = vault.trail(own.consent_id)[-1]
    about = {name: receipt[name] for name in ("asked_by", "erased_by", "reason", "version")}
    assert about == {
        "asked_by": "ada-of-operations",
        "erased_by": "ada-of-operations",
        "reason": "customer asked, ticket 4711",
        "version": version("kontoledger"),
    }
    assert all(result in path.with_suffix(".txt").read_text() for result in about.values())
    assert [("h-elsewhere" in one, ours in one) for one in receipt["kept"] if "other raw histories" in one] == [(True, False)]
    assert (last.what, last.outcome.rpartition("sha256:")[2]) == (
        "revoked to erased",
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "x" * 201])
def test_a_reason_is_one_short_line(reason: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["consents", "erase", "c-0", "--reason", reason])
    assert ended.value.code == 2


def test_trying_the_sandbox_never_opens_the_vault_of_real_consents(tmp_path: Path) -> None:
    real = Settings(data_dir=tmp_path, vault_url="postgresql+psycopg://ledger@db.example.test/vault")
    with sandbox(real) as trying:
        assert trying.vault_url is None
