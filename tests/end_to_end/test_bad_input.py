"""What bad input gets: a sentence with the cause and the next step, the right exit status, and everything else published."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.commands import cli
from pipelines.store import ledger as ledgers
from pipelines.store.lock import held
from sources import _http
from sources.sandbox import (
    BadRow,
    CommandFails,
    CommandNeverEnds,
    HtmlInsteadOfJson,
    SandboxBank,
    UnknownCommandState,
    World,
    XmlBomb,
)
from tests.plain_loads import by_dlt
from tests.support import Ended, FirstRuns, a_bank, assert_the_ledger_is_the_world, environment, ledger_totals, published, rows

QUICK = {"SOURCES__KONTOMATIK__COMMAND_DEADLINE": "0.05"}


FEW = 150
"""Rows at each bank."""


def a_world() -> World:
    """Few rows, and the clock on the wall, which is the only one that a command knows."""
    return World(transactions=FEW)


class Said(Ended):
    """How a command ended."""

    def is_a_sentence(self) -> bool:
        """One line on standard error, that begins as a sentence does and says what to do next; no traceback."""
        return bool(re.fullmatch(r"\S[^\n]+\. [A-Z][^\n]+\.\n", self.err))


Pipelines = Callable[..., Said]


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Pipelines]:
    """`python -m pipelines …` in this process, in an empty folder, without waiting between tries."""

    def ended(status: int) -> None:
        raise SystemExit(status)

    class Impatient(_http.Patience):
        def __init__(self, *_: object) -> None:
            super().__init__(waits=(0, 0))

    monkeypatch.setattr(os, "_exit", ended)
    monkeypatch.setattr(_http, "Patience", Impatient)  # a class: modules that are loaded meanwhile name it as a type
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def called(*arguments: str, bank: SandboxBank | None = None, ledger: bool = True, **environ: str) -> Said:
        with monkeypatch.context() as inside:
            if not ledger:
                inside.setattr(ledgers, "build_and_publish", published)
            for name, value in ((environment(bank) if bank else {}) | environ).items():
                inside.setenv(name, value)
            with pytest.raises(SystemExit) as ending:
                cli.main([*arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return Said(int(str(ending.value.code)), said.out, said.err)

    yield called
    signal.signal(signal.SIGTERM, before)


def test_nothing_configured(pipelines: Pipelines) -> None:
    said = pipelines("run")

    assert said.status == 2
    assert said.is_a_sentence()
    assert "--sandbox" in said.err
    assert ".dlt/secrets.toml" in said.err


def test_a_source_asked_for_by_name_that_is_not_configured(pipelines: Pipelines) -> None:
    said = pipelines("run", "--source", "kontist", "--json")

    assert said.status == 2
    assert "sources.kontist.email" in said.err
    assert said.parsed["status"] == "failed"


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("SOURCES__KONTIST__LOOKBACK_DAYS", "many", "SOURCES__KONTIST__LOOKBACK_DAYS"),
        ("SOURCES__KONTIST__LOOKBACK_DAYS", "-1", "SOURCES__KONTIST__LOOKBACK_DAYS"),
        ("SOURCES__KONTOMATIK__POLL_INTERVAL", "nan", "SOURCES__KONTOMATIK__POLL_INTERVAL"),
        ("SOURCES__KONTOMATIK__POLL_INTERVAL", "inf", "SOURCES__KONTOMATIK__POLL_INTERVAL"),
        ("SOURCES__KONTOMATIK__DIALECT", "klingon", "openapi, live"),
        ("SOURCES__KONTIST__AUTH", "s3cr3t-in-the-wrong-place", "jwt, basic"),
        ("SOURCES__KONTIST__LOOKBACK_DAYS", "999999999", "SOURCES__KONTIST__LOOKBACK_DAYS"),
        ("PIPELINES__VAULT_KEY", "too-short", "vault_key"),
        ("SOURCES__KONTIST__BASE_URL", "http://bank.example", "sources.kontist.base_url"),
        ("SOURCES__KONTOMATIK__BASE_URL", "bank.example/v1", "sources.kontomatik.base_url"),
        ("SOURCES__KONTOMATIK__API_KEY", "two words", "sources.kontomatik.api_key"),
    ],
)
def test_a_setting_that_cannot_be_used(pipelines: Pipelines, variable: str, value: str, named: str) -> None:
    with a_bank(a_world()) as bank:
        said = pipelines("connect", "kontomatik", "--mock", bank=bank, **{variable: value})
        if said.status == 0:  # a setting of the other bank's
            said = pipelines("run", "--source", "kontist", bank=bank, **{variable: value})

    assert said.status in (1, 2)
    assert named in said.err + said.out
    assert value not in said.err or value in ("many", "-1", "nan", "inf", "http://bank.example")
    assert "fault in this program" not in said.err + said.out


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("config.toml", "[sources.kontist\nlookback_days = 3", "line 1"),
        ("config.toml", "[pipelines]\ndata_dir = 5", "data_dir"),
        ("config.toml", "[pipelines.data_dir]\npath = 'x'", "data_dir"),
        ("config.toml", "[sources.kontist]\nlookback_days = 1.5", "lookback_days"),
        ("config.toml", "[sources.kontist]\nlookback_days = true", "lookback_days"),
        ("config.toml", "sources = 5\n", "--sandbox"),
        ("secrets.toml", "[sources.kontist]\nemail = 5\npassword = 'x'", "email"),
        ("secrets.toml", "\x00\x01", "secrets.toml"),
    ],
)
def test_a_file_that_cannot_be_used(pipelines: Pipelines, tmp_path: Path, file: str, content: str, named: str) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / file).write_text(content)
    said = pipelines("run")

    assert said.status == 2
    assert said.is_a_sentence()
    assert named in said.err


def test_a_seed_that_says_something_impossible_stops_a_run_before_it_asks_a_bank(pipelines: Pipelines, tmp_path: Path) -> None:
    seeds = tmp_path / "data" / "seeds"
    seeds.mkdir(parents=True)
    (seeds / "settings.csv").write_text("name,value\nreporting_currency,euro\n")
    with a_bank(a_world()) as bank:
        said = pipelines("run", bank=bank)

    assert said.status == 2
    assert "settings.csv cannot be used: row 1" in said.err
    assert bank.requests == []


def test_a_run_waits_for_another_as_long_as_it_is_asked_to(pipelines: Pipelines, tmp_path: Path) -> None:
    with a_bank(a_world()) as bank, held(tmp_path / "data", "test"):
        began = time.monotonic()
        said = pipelines("run", "--wait", "1", bank=bank)

    assert (said.status, time.monotonic() - began >= 1) == (1, True)
    assert f"Process {os.getpid()} (test, since " in said.err
    assert bank.requests == []


def test_a_folder_where_nothing_can_be_written(pipelines: Pipelines, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with a_bank(a_world()) as bank:
        for command in (["run"], ["connect", "kontomatik", "--mock"], ["transform"]):
            said = pipelines(*command, "--data-dir", str(tmp_path / "file" / "data"), bank=bank)

            assert said.status == 2
            assert said.is_a_sentence()
            assert "--data-dir" in said.err


def test_a_folder_whose_name_is_a_pattern_or_a_quote(pipelines: Pipelines, tmp_path: Path) -> None:
    odd = tmp_path / "a=b [x] *'\"ü"
    with by_dlt(), a_bank(a_world()) as bank:
        assert pipelines("connect", "kontomatik", "--mock", "--data-dir", str(odd), bank=bank).status == 0
        assert pipelines("run", "--data-dir", str(odd), bank=bank).status == 0
        assert_the_ledger_is_the_world(odd, bank)
        assert pipelines("check", "--data-dir", str(odd)).status == 0

        said = pipelines("run", "--data-dir", str(tmp_path / "what?"), bank=bank)
        assert said.status == 2
        assert said.is_a_sentence()


def test_wrong_credentials_stop_one_bank_and_not_the_other(pipelines: Pipelines, first_runs: FirstRuns, tmp_path: Path) -> None:
    with a_bank(first_runs.copy(tmp_path / "data", transactions=FEW), dialect="live") as bank:
        for name in ("4711", "Konto Start"):
            bank.world.append(name, amount="-1.00")

        said = pipelines("run", "--json", bank=bank, ledger=False, SOURCES__KONTIST__PASSWORD="wrong-password")
        assert (said.status, said.parsed["status"]) == (4, "partial")
        assert "e-mail or the password" in said.parsed["sources"]["kontist"]["errors"][0]["reason"]
        assert said.parsed["sources"]["kontomatik"]["accounts"] == 6

        said = pipelines("run", "--json", bank=bank, SOURCES__KONTOMATIK__API_KEY="wrong-key")
        assert (said.status, said.parsed["status"]) == (4, "partial")
        assert "API key" in said.parsed["sources"]["kontomatik"]["errors"][0]["reason"]
        assert said.parsed["sources"]["kontist"]["accounts"] == 2

        said = pipelines("run", "--source", "kontist", bank=bank, SOURCES__KONTIST__PASSWORD="wrong-password")
        assert said.status == 1
        assert "nothing new was published" in said.out
        assert_the_ledger_is_the_world(tmp_path / "data", bank)


AWAY = {"SOURCES__KONTIST__BASE_URL": "http://127.0.0.1:1", "SOURCES__KONTOMATIK__BASE_URL": "http://127.0.0.1:1/v1"}


def test_hosts_that_cannot_be_reached(pipelines: Pipelines, tmp_path: Path) -> None:
    with a_bank(a_world()) as bank:
        assert pipelines("connect", "kontomatik", "--mock", bank=bank).status == 0
        said = pipelines("run", "--json", bank=bank, **AWAY)
        assert (said.status, said.parsed["published"]) == (1, None)
        reasons = [error["reason"] for result in said.parsed["sources"].values() for error in result["errors"]]
        assert [("127.0.0.1:1 cannot be reached" in reason) for reason in reasons] == [True, True]


def test_an_import_that_never_left_this_machine_is_not_spent(pipelines: Pipelines, tmp_path: Path) -> None:
    two = {"SOURCES__KONTOMATIK__IMPORTS_PER_DAY": "2"}
    with a_bank(a_world()) as bank:
        assert pipelines("connect", "kontomatik", "--mock", bank=bank, **two).status == 0
        pipelines("run", "--json", bank=bank, **two, **AWAY)
        said = pipelines("run", "--json", bank=bank, ledger=False, **two)
        assert said.parsed["sources"]["kontomatik"]["skipped"] == []


FAULTS = [
    (HtmlInsteadOfJson(times=None, bank="kontist"), "kontist", "web page"),
    (BadRow("amount", account="4711", bank="kontist"), "kontist", "could not be understood"),
    (XmlBomb(times=None), "kontomatik", "document type"),
    (CommandFails(times=None), "kontomatik", "ServiceTemporarilyUnavailable"),
    (CommandNeverEnds(times=None), "kontomatik", "not done"),
    (UnknownCommandState(times=None), "kontomatik", "a state that we do not know"),
]


def test_whatever_one_bank_answers_the_other_is_published(pipelines: Pipelines, first_runs: FirstRuns, tmp_path: Path) -> None:
    data = tmp_path / "data"
    world = first_runs.copy(data, transactions=FEW)
    with a_bank(world, dialect="live") as bank:
        names = {"kontist": "4711", "kontomatik": "Konto Start"}
        for fault, broken, cause in FAULTS:
            well = "kontist" if broken == "kontomatik" else "kontomatik"
            for name in names.values():
                world.append(name, amount="-1.00")
            bank.faults[:] = [fault]
            builds = isinstance(fault, HtmlInsteadOfJson | XmlBomb)  # once a bank
            said = pipelines("run", "--json", bank=bank, ledger=builds, **QUICK)
            about = (fault, said.parsed["sources"].get(broken))
            bank.kontomatik.commands.clear()  # what was left unfinished is forgotten: the next run imports anew
            assert (said.status, said.parsed["status"]) == (4, "partial"), about
            assert cause in said.parsed["sources"][broken]["errors"][0]["reason"], about
            assert said.parsed["sources"][well]["errors"] == [], about
            assert said.parsed["sources"][well]["transactions"]["new"] == 1, about
            if builds:
                ours, truth = ledger_totals(data), world.totals("live")
                assert {key: ours[key] for key in ours if key[0] == well} == {key: truth[key] for key in truth if key[0] == well}
        bank.faults.clear()
        assert pipelines("run", bank=bank).status == 0
        assert_the_ledger_is_the_world(data, bank)
        assert rows(data, "select count(*) from quarantine") == [(0,)]


def test_a_corrupt_history_names_the_recovery(pipelines: Pipelines, first_runs: FirstRuns, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with a_bank(first_runs.copy(data, transactions=FEW), dialect="live") as bank:
        bank.world.append("4711", amount="2.00")
        assert pipelines("run", bank=bank, ledger=False).status == 0
        whole = (data / "raw.duckdb").read_bytes()
        ledger = (data / "ledger.duckdb").read_bytes()
        previous = (data / "raw.previous.duckdb").read_bytes()
        damages = {
            "not a database": b"no database at all" * 1000,
            "empty": b"",
            "head": b"\x00" * 4096 + whole[4096:],
            "half": whole[: len(whole) // 2],
            "middle": _spoilt(whole),
        }
        for damage, content in damages.items():
            (data / "raw.duckdb").write_bytes(content)
            said = pipelines("run", bank=bank)

            assert (damage, said.status) == (damage, 1)
            assert said.is_a_sentence(), (damage, said.err)
            assert f"mv {data / 'raw.previous.duckdb'} {data / 'raw.duckdb'}" in said.err, (damage, said.err)
            assert (data / "raw.previous.duckdb").read_bytes() == previous, damage
            assert (data / "ledger.duckdb").read_bytes() == ledger, damage

        (data / "raw.previous.duckdb").replace(data / "raw.duckdb")  # as the sentence said
        bank.world.append("4711", amount="1.00")
        assert pipelines("run", bank=bank).status == 0
        assert_the_ledger_is_the_world(data, bank)


def _spoilt(whole: bytes) -> bytes:
    """Every block behind the header with a few bytes changed: what a failing disk makes of a file that still opens."""
    spoilt = bytearray(whole)
    for at in range(200_000, len(spoilt), 262_144):
        spoilt[at : at + 16] = b"\xff" * 16
    return bytes(spoilt)
