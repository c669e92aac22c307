"""`connect kontist`, `disconnect kontist`, and what `consents` does with a login, as commands."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands import login as logging_in
from pipelines.commands.cli import parser
from pipelines.errors import WrongUsage
from tests.kontist_login.logins import VAULT_KEY, Customer, a_customer
from tests.patience import patient

ROOT = Path(__file__).parents[2]


def command(customer: Customer, *arguments: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PIPELINES__DATA_DIR": str(customer.data_dir),
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "SOURCES__KONTIST__BASE_URL": customer.bank.url,
        "SOURCES__KONTIST__REQUESTS_PER_MINUTE": "0",
    }
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments],
        cwd=customer.data_dir.parent,
        env=environ | more,
        input=given,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )


def test_a_login_from_connecting_to_its_end(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        password = customer.world.kontist_password
        connected = command(
            customer, "connect", "kontist", "--email", customer.world.kontist_email, "--json", given=f"{password}\n"
        )
        assert (connected.returncode, connected.stderr) == (0, "")
        told = json.loads(connected.stdout)
        assert (told["status"], told["days_left"], told["accounts"], told["notes"]) == ("active", 29, 2, [])

        listed = json.loads(command(customer, "consents", "--json").stdout)["consents"]
        assert [(one["source"], one["status"], one["warning"], one["imports_left"]) for one in listed] == [
            ("kontist", "active", None, None)
        ]
        healthy = json.loads(command(customer, "doctor", "--json").stdout)["findings"]
        assert ("kontist login", "fine") in [(one["about"], one["level"]) for one in healthy]

        ended = command(customer, "disconnect", "kontist")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "is revoked: confirmed by the bank" in ended.stdout
        again = command(customer, "disconnect", "kontist")
        assert again.returncode == 2
        assert "no login" in again.stderr


def test_a_wrong_password_is_told_in_a_sentence(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        ended = command(customer, "connect", "kontist", "--email", customer.world.kontist_email, given="wrong-password\n")
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert "does not accept the e-mail or the password" in ended.stderr
        assert "settings" not in ended.stderr
        assert "wrong-password" not in ended.stderr + ended.stdout


def test_a_refresh_token_is_added_renewed_by_password_and_revoked_by_id(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        token = customer.bank.kontist.tokens.give("refresh", "ada")
        added = command(customer, "consents", "add", "kontist", given=f"{token}\n")
        assert (added.returncode, added.stderr) == (0, "")
        old = added.stdout.split()[2]
        login = {
            "SOURCES__KONTIST__EMAIL": customer.world.kontist_email,
            "SOURCES__KONTIST__PASSWORD": customer.world.kontist_password,
        }
        renewed = command(customer, "consents", "renew", old, "--json", **login)
        assert (renewed.returncode, renewed.stderr) == (0, "")
        new = json.loads(renewed.stdout)["consent_id"]
        assert customer.states() == ["revoked", "active"]
        revoked = command(customer, "consents", "revoke", new, "--json")
        assert json.loads(revoked.stdout)["status"] == "revoked"


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (("connect", "kontist"), "secret\n", "--email"),
        (("connect", "kontist", "--email", "ada@example.test"), "", "password"),
        (("consents", "add", "kontist"), "two words\n", "one token"),
        (("consents", "add", "kontomatik"), "two words\n", "one token"),
    ],
)
def test_what_is_missing_is_asked_for_before_the_bank_is(
    tmp_path: Path, arguments: tuple[str, ...], given: str, words: str
) -> None:
    with a_customer(tmp_path) as customer:
        ended = command(customer, *arguments, given=given)
        assert ended.returncode == 2
        assert words in ended.stderr
        assert customer.bank.requests == []


def test_a_password_is_typed_unseen_and_never_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Keyboard:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return "ada@example.test\n"

    def unseen(question: str) -> str:
        asked.append(question)
        return "secret"

    kept: list[Any] = []
    monkeypatch.setenv("PIPELINES__DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PIPELINES__VAULT_KEY", VAULT_KEY)
    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr(logging_in, "getpass", unseen)
    monkeypatch.setattr(logging_in, "_store", lambda _options, _settings, login: kept.append(login) or 0)
    logging_in.connect(parser().parse_args(["connect", "kontist"]))

    assert len(asked) == 1
    assert (kept[0].email, kept[0].password) == ("ada@example.test", "secret")
    with pytest.raises(SystemExit):
        parser().parse_args(["connect", "kontist", "--password", "secret"])
    monkeypatch.setattr(logging_in, "getpass", lambda _: "")
    with pytest.raises(WrongUsage):
        logging_in.connect(parser().parse_args(["connect", "kontist"]))


def test_renewing_without_a_terminal_names_no_option_that_it_lacks(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        ended = command(customer, "consents", "renew", consent.consent_id)
        assert ended.returncode == 2
        assert "Set sources.kontist.email" in ended.stderr
        assert "--email" not in ended.stderr


def test_without_a_vault_key_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        ended = command(customer, "connect", "kontist", "--email", "ada@example.test", PIPELINES__VAULT_KEY="")
        assert ended.returncode == 2
        assert "vault key" in ended.stderr
