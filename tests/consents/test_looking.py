"""What doctor finds and how it says to fix it, and the banks that the catalog lists."""

import re
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from cryptography.fernet import Fernet

from pipelines.commands import sandbox
from pipelines.commands.cli import parser
from pipelines.questions.doctor import Finding, examine
from pipelines.settings import Settings
from sources.sandbox import HtmlInsteadOfJson, SandboxBank, World, running
from tests.consents.customers import DIALECTS, OTHER_KEY, a_bank, connected, settings_for, with_kontomatik
from tests.consents.killing import Killer, environment

dialects = pytest.mark.parametrize("dialect", DIALECTS)


def findings(bank: SandboxBank, settings: Settings) -> dict[str, Finding]:
    return {one.about: one for one in examine(settings, bank.world.clock.now)}


def wrong(bank: SandboxBank, settings: Settings) -> dict[str, Finding]:
    return {about: one for about, one in findings(bank, settings).items() if one.level == "wrong"}


@dialects
@pytest.mark.usefixtures("quick")
def test_nothing_is_wrong_with_what_works(new_folder: Any, dialect: str) -> None:
    with a_bank(dialect=dialect) as (bank, _):
        settings = settings_for(bank, new_folder())
        connected(bank, settings)
        bank.requests.clear()

        found = findings(bank, settings)

        assert {about: one for about, one in found.items() if one.level == "wrong"} == {}
        assert found["kontomatik key and dialect"].found.startswith(f"the key is accepted, dialect {dialect} is understood")
        assert found["vault"].found == "1 consents, every token opens with the vault key"
        assert found["clock"].found == "agrees with the bank's"
        assert bank.count("POST") == 0  # it costs nothing


@dialects
def test_a_wrong_key_is_named(tmp_path: Path, dialect: str) -> None:
    with a_bank(dialect=dialect) as (bank, _):
        (found,) = wrong(bank, with_kontomatik(settings_for(bank, tmp_path), api_key="not-the-key")).values()
        assert "the API key is unknown" in found.found
        assert found.remedy.startswith("Check the secret sources.kontomatik.api_key")


@dialects
def test_a_bank_that_cannot_be_reached_is_named(tmp_path: Path, dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    no_patience(monkeypatch)
    with a_bank(dialect=dialect) as (bank, _):
        settings = settings_for(bank, tmp_path)
    (found,) = wrong(bank, settings).values()
    assert ("cannot be reached" in found.found, found.remedy) == (True, "Check the network and the setting base_url")


@dialects
def test_the_other_dialect_is_named_with_its_remedy(tmp_path: Path, dialect: str) -> None:
    other = {"openapi": "live", "live": "openapi"}[dialect]
    with a_bank(dialect=other) as (bank, _):
        found = wrong(bank, with_kontomatik(settings_for(bank, tmp_path), dialect=dialect))
        assert found["kontomatik dialect"].found == f"the service understands the dialect {other}, and {dialect} is set"
        assert found["kontomatik dialect"].remedy == f'Set sources.kontomatik.dialect to "{other}"'


def test_a_page_that_is_no_bank_is_named(tmp_path: Path) -> None:
    with a_bank(None, HtmlInsteadOfJson(times=None)) as (bank, _):
        (found,) = wrong(bank, settings_for(bank, tmp_path)).values()
        assert (found.found, found.remedy) == (
            "the bank answered with a web page",
            "Check the setting sources.kontomatik.base_url",
        )


def test_a_clock_that_is_off_is_named(tmp_path: Path) -> None:
    with a_bank() as (bank, _):
        settings = settings_for(bank, tmp_path)
        for ahead, level in ((60, "fine"), (-60, "fine"), (300, "wrong"), (-300, "wrong")):
            now: Callable[[], Any] = lambda ahead=ahead: bank.world.clock.now() + timedelta(seconds=ahead)  # noqa: E731
            clock = {one.about: one for one in examine(settings, now)}["clock"]
            assert clock.level == level
        assert clock.remedy == "Set this machine's clock (ntp)"
        assert clock.found in ("300 s apart from the bank's", "301 s apart from the bank's", "299 s apart from the bank's")


@pytest.mark.usefixtures("quick")
def test_a_vault_that_others_can_read_or_that_another_key_encrypted_is_named(new_folder: Any) -> None:
    with a_bank() as (bank, _):
        settings = settings_for(bank, new_folder())
        connected(bank, settings)
        path = settings.data_dir / "vault.sqlite"
        path.chmod(0o640)
        assert wrong(bank, settings)["vault permissions"].remedy == f"chmod 600 {path}"
        other = wrong(bank, settings_for(bank, settings.data_dir, vault_key=OTHER_KEY))["vault"]
        assert other.found == "The vault's secrets cannot be opened with this vault key"
        without = findings(bank, settings_for(bank, settings.data_dir, vault_key=None))
        assert (without["vault"].level, "--new-vault-key" in without["vault"].remedy) == ("wrong", True)
        path.write_bytes(b"gone")
        assert "restore a backup" in wrong(bank, settings)["vault"].remedy


def test_doctor_looks_at_everything_when_everything_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_patience(monkeypatch)
    (tmp_path / "vault.sqlite").write_bytes(b"x" * 3000)
    (tmp_path / "raw.duckdb").write_bytes(b"x" * 3000)
    with running(World(transactions=1)) as bank:
        settings = settings_for(bank, tmp_path, vault_key="no key")
    assert {"vault", "raw history", "kontomatik"} <= wrong(bank, settings).keys()


@dialects
def test_the_catalog_is_listed_narrowed_and_kept(the_killer: Killer, tmp_path: Path, dialect: str) -> None:
    with a_bank(dialect=dialect) as (bank, _):
        environ = environment(bank, tmp_path)

        def targets(*filters: str) -> list[str]:
            ended = the_killer.run(environ, "catalog", "--json", *filters, quick=False)
            assert ended.status == 0
            return [one["target"] for one in ended.parsed["institutions"]]

        assert targets("--country", "pl") == targets("--country", "PL") == ["KontoBank", "KontoBankApi"]
        if dialect == "live":  # the service narrows; the specification lists what may be MULTIPLE as MIXED too
            assert targets("--access-mode", "MULTIPLE") == ["KontoBankApi_cz", "KontoBankApi"]
            assert targets("--access-mode", "MULTIPLE", "--country", "es") == []
        assert not (tmp_path / "raw.duckdb").exists()

        everything = ["KontoBankApi_cz", "KontoBankApi_es", "KontoBank", "KontoBankApi"]
        assert targets() == targets() == everything
        kept = rows(tmp_path / "raw.duckdb", "select target, country, institution, read_at from kontomatik.institutions")
        assert sorted(target for target, *_ in kept) == sorted(everything)
        assert all(institution.startswith("KontoBank") for _, _, institution, _ in kept)
        assert all(read_at.astimezone(UTC) for *_, read_at in kept)
        published = rows(tmp_path / "ledger.duckdb", "select * from ledger.institutions")
        assert len(published) == 4


def rows(path: Path, query: str) -> list[Any]:
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_the_served_sandbox_is_read_with_the_same_settings_in_every_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key made anew at each paste leaves what the other terminal has stored unreadable."""
    monkeypatch.setattr("sources.sandbox.serve_forever", lambda _world, _port, _dialect, ready: ready("http://127.0.0.1:8711"))
    sandbox.sandbox_serve(parser().parse_args(["sandbox", "serve"]))
    result = capsys.readouterr().out
    (key,) = re.findall(r"PIPELINES__VAULT_KEY=(\S+)", result)
    assert Fernet(key)
    assert "$(" not in result


def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bank that is away is asked once."""
    from sources import _http

    monkeypatch.setattr(_http, "Patience", lambda *_: _http_patience)
    assert _http.Patience() is _http_patience


class _Once:
    waits: tuple[float, ...] = ()


_http_patience = _Once()
