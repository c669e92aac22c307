"""`pay` as a command: switched off unless allowed, for a person at a terminal only, and out of everybody else's reach."""

import ast
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.consents.clients import vault_of
from pipelines.settings import Settings, load_settings
from sources.sandbox import SandboxBank, World, running
from tests.patience import patient
from tests.pay.desk import last_tan
from tests.support import Ended, begun, command

ROOT = Path(__file__).parents[2]
TRANSFER = ("pay", "transfer", "--to", "Vermieterin Beispiel", "--iban", "DE89 3704 0044 0532 0130 00", "--amount", "850.00",
            "--note", "Miete", "--from", "4711")  # fmt: skip


def environment(bank: SandboxBank, folder: Path, **more: str) -> dict[str, str]:
    return {
        "PIPELINES__DATA_DIR": str(folder),
        "SOURCES__KONTIST__BASE_URL": bank.url,
        "SOURCES__KONTIST__EMAIL": bank.world.kontist_email,
        "SOURCES__KONTIST__PASSWORD": bank.world.kontist_password,
        "SOURCES__KONTIST__ALLOW_PAYMENTS": "true",
    } | more


def without_a_person(bank: SandboxBank, folder: Path, *arguments: str, **more: str) -> Ended:
    return command(folder, environment(bank, folder, **more), *arguments, given="yes\n" * 9)


class AtATerminal:
    """A person who reads what is on the screen and types."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *arguments: str) -> None:
        self.screen = ""
        self._keyboard, other = pty.openpty()
        self._process = begun(folder, environ, *arguments, stdin=other, stdout=other, stderr=other)
        os.close(other)

    def sees(self, words: str) -> None:
        """Read on until these words are there; half a minute is too long."""
        end = time.monotonic() + patient(30)
        while words not in self.screen:
            assert time.monotonic() < end, self.screen
            self._read()

    def types(self, line: str) -> None:
        os.write(self._keyboard, f"{line}\n".encode())

    def leaves(self) -> int:
        while self._read():
            pass
        os.close(self._keyboard)
        return self._process.wait(patient(30))

    def _read(self) -> bool:
        try:
            read = os.read(self._keyboard, 4096)
        except OSError:
            return False
        self.screen += read.decode()
        return bool(read)


def test_a_person_pays(tmp_path: Path) -> None:
    with running(World(transactions=60)) as bank:
        person = AtATerminal(tmp_path, environment(bank, tmp_path), *TRANSFER)
        person.sees("Type yes")
        for shown in ("Vermieterin Beispiel", "DE89 3704 0044 0532 0130 00", "850.00 EUR", "Miete"):
            assert shown in person.screen
        assert bank.count("POST", "transfer") == 0
        person.types("yes")
        person.sees("TAN from your phone (6 digits)")
        person.types(last_tan(bank.world))
        assert person.leaves() == 0
        assert "The bank says ACCEPTED" in person.screen
        assert bank.world.account("4711").transactions[0].cents == -85_000
        with vault_of(Settings(tmp_path)) as vault:
            assert [one.outcome for one in vault.trail()] == ["the bank is asked", "the TAN is sent", "done: ACCEPTED"]
            vault.note("c-1", "added", "active", bank.world.clock.now())
        shown = without_a_person(bank, tmp_path, "pay", "trail", "--json", SOURCES__KONTIST__ALLOW_PAYMENTS="false")
        assert {line["what"] for line in json.loads(shown.out)["trail"]} == {"pay: transfer: 850.00 EUR to …3000, from …4711"}


def test_orders_are_shown_as_they_are_before_they_are_changed(tmp_path: Path) -> None:
    with running(World(transactions=60)) as bank:
        person = AtATerminal(
            tmp_path,
            environment(bank, tmp_path),
            *("pay", "standing-order", "change", "6", "--amount", "901.00", "--last", "2099-12-31", "--no-note"),
            *("--from", "4711"),
        )
        person.sees("Type yes")
        assert "new amount   901.00 EUR" in person.screen
        assert "2099-12-31" in person.screen
        assert "new note     none" in person.screen
        assert "ACTIVE" in person.screen
        person.types("no")
        assert person.leaves() == 1
        assert "Nothing was paid" in person.screen
        assert bank.count("PATCH") == 0


def test_a_note_or_an_end_is_either_changed_or_removed(tmp_path: Path) -> None:
    with running(World(transactions=60)) as bank:
        for both in (("--note", "rent", "--no-note"), ("--last", "2099-12-31", "--no-end")):
            ended = without_a_person(bank, tmp_path, "pay", "standing-order", "change", "6", *both)
            assert ended.status == 2
            assert "not allowed with" in ended.err


def test_payments_are_off_by_default_and_nobody_is_asked(tmp_path: Path) -> None:
    assert load_settings(environment={}, folder=tmp_path).kontist.allow_payments is False
    with running(World(transactions=60)) as bank:
        ended = without_a_person(bank, tmp_path, *TRANSFER, SOURCES__KONTIST__ALLOW_PAYMENTS="false")
        assert ended.status == 2
        assert "allow_payments" in ended.err
        assert bank.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        TRANSFER,
        ("pay", "standing-order", "create", *TRANSFER[2:], "--every", "MONTHLY", "--first", "2099-01-01"),
        ("pay", "standing-order", "change", "6", "--amount", "1.00"),
        ("pay", "standing-order", "cancel", "6"),
        ("pay", "timed-order", "create", *TRANSFER[2:], "--on", "2099-01-01"),
        ("pay", "timed-order", "cancel", "6"),
    ],
    ids=lambda words: "-".join(words[:3]),
)
def test_no_payment_begins_in_the_dialect_that_only_reads(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with running(World(transactions=60)) as bank:
        for allowed in ("false", "true"):
            more = {"SOURCES__KONTIST__DIALECT": "graphql", "SOURCES__KONTIST__ALLOW_PAYMENTS": allowed}
            ended = without_a_person(bank, tmp_path, *arguments, **more)
            assert (ended.status, ended.err.count("\n")) == (2, 1)
            assert "by REST only" in ended.err
        assert bank.requests == []


def test_a_script_cannot_pay_even_where_payments_are_allowed(tmp_path: Path) -> None:
    with running(World(transactions=60)) as bank:
        ended = without_a_person(bank, tmp_path, *TRANSFER)
        assert ended.status == 2
        assert "a person at a terminal" in ended.err
        assert bank.requests == []


def test_a_flow_cannot_pay_even_at_a_terminal(tmp_path: Path) -> None:
    with running(World(transactions=60)) as bank:
        person = AtATerminal(tmp_path, environment(bank, tmp_path, PREFECT__FLOW_RUN_ID="x"), *TRANSFER)
        assert person.leaves() == 2
        assert bank.requests == []


@pytest.mark.parametrize("slip", [("--iban", "DE89370400440532013001"), ("--amount", "12,50"), ("--amount", "-1"), ("--to", " ")])
def test_a_slip_is_noticed_before_the_bank_is_asked(tmp_path: Path, slip: tuple[str, str]) -> None:
    with running(World(transactions=60)) as bank:
        person = AtATerminal(tmp_path, environment(bank, tmp_path), *TRANSFER, f"{slip[0]}={slip[1]}")
        assert person.leaves() == 2
        assert bank.requests == []


@pytest.mark.parametrize("text", ["yes", "1", "on", "maybe"])
def test_only_true_allows_payments(tmp_path: Path, text: str) -> None:
    with pytest.raises(Exception, match="true or false"):
        load_settings(environment={"SOURCES__KONTIST__ALLOW_PAYMENTS": text}, folder=tmp_path)


# ---- out of reach

MOVES_MONEY = ("pipelines.pay", "sources.kontist.payments")


def test_nothing_that_a_run_imports_can_pay() -> None:
    code = (
        "import sys, pipelines.__main__, pipelines.commands.cli, pipelines.commands.run, pipelines.run.steps\n"
        "import pipelines.run.raw_load, pipelines.run.handover, pipelines.read.tasks\n"
        "import pipelines.read.kontist, pipelines.read.kontomatik, pipelines.commands.consents, pipelines.commands.login\n"
        f"print(*[name for name in sys.modules if name.startswith({MOVES_MONEY!r})])"
    ).replace("pipelines.__main__, ", "")
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == ""


def test_nobody_but_pay_names_what_moves_money() -> None:
    """`lint-imports` holds the same for imports; this reads texts too, since the command line imports by name."""
    found = set()
    for folder in ("flows", "pipelines", "sources", "transforms"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith("pipelines/pay/") or name == "sources/kontist/payments.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                named = []
                if isinstance(node, ast.Import):
                    named = [one.name for one in node.names]
                elif isinstance(node, ast.ImportFrom):
                    named = [f"{node.module}.{one.name}" for one in node.names]
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    named = [node.value.strip()]
                if any(one.startswith((*MOVES_MONEY, "pay.")) for one in named):
                    found.add(name)

    assert found == {"pipelines/commands/arguments/payments.py"}
