"""`connect kontist`, `disconnect kontist`, and what `consents` does with a login, as commands."""

import json
import sys
from io import StringIO
from pathlib import Path
from socket import create_server
from subprocess import PIPE
from typing import Any

import httpx
import pytest

from pipelines.commands import login as logging_in
from pipelines.commands.cli import parser
from pipelines.errors import WrongUsage
from tests.kontist_login.by_link import ELSEWHERE, visited
from tests.kontist_login.logins import VAULT_KEY, Customer, a_customer
from tests.kontist_login.test_interrupted_logins import environment
from tests.support import Ended, begun, ended
from tests.support import command as run_command


def command(customer: Customer, *arguments: str, given: str = "", **more: str) -> Ended:
    environ = {
        "PIPELINES__DATA_DIR": str(customer.data_dir),
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "SOURCES__KONTIST__BASE_URL": customer.bank.url,
        "SOURCES__KONTIST__REQUESTS_PER_MINUTE": "0",
    }
    return run_command(customer.data_dir.parent, environ | more, *arguments, given=given)


def test_a_login_from_connecting_to_its_end(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        password = customer.world.kontist_password
        connected = command(
            customer, "connect", "kontist", "--email", customer.world.kontist_email, "--json", given=f"{password}\n"
        )
        assert (connected.status, connected.err) == (0, "")
        result = json.loads(connected.out)
        assert (result["status"], result["days_left"], result["accounts"], result["notes"]) == ("active", 29, 2, [])

        listed = json.loads(command(customer, "consents", "--json").out)["consents"]
        assert [(one["source"], one["status"], one["warning"], one["imports_left"]) for one in listed] == [
            ("kontist", "active", None, None)
        ]
        healthy = json.loads(command(customer, "doctor", "--json").out)["findings"]
        assert ("kontist login", "fine") in [(one["about"], one["level"]) for one in healthy]

        ended = command(customer, "disconnect", "kontist")
        assert (ended.status, ended.err) == (0, "")
        assert "is revoked: confirmed by the bank" in ended.out
        again = command(customer, "disconnect", "kontist")
        assert again.status == 2
        assert "no login" in again.err


def test_a_wrong_password_is_reported_in_a_sentence(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        ended = command(customer, "connect", "kontist", "--email", customer.world.kontist_email, given="wrong-password\n")
        assert ended.status == 2
        assert ended.err.count("\n") == 1
        assert "does not accept the e-mail or the password" in ended.err
        assert "settings" not in ended.err
        assert "wrong-password" not in ended.err + ended.out


def test_a_refresh_token_is_added_renewed_by_password_and_revoked_by_id(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        token = customer.bank.kontist.tokens.give("refresh", "ada")
        added = command(customer, "consents", "add", "kontist", given=f"{token}\n")
        assert (added.status, added.err) == (0, "")
        old = added.out.split()[2]
        login = {
            "SOURCES__KONTIST__EMAIL": customer.world.kontist_email,
            "SOURCES__KONTIST__PASSWORD": customer.world.kontist_password,
        }
        renewed = command(customer, "consents", "renew", old, "--json", **login)
        assert (renewed.status, renewed.err) == (0, "")
        new = json.loads(renewed.out)["consent_id"]
        assert customer.states() == ["revoked", "active"]
        revoked = command(customer, "consents", "revoke", new, "--json")
        assert json.loads(revoked.out)["status"] == "revoked"


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
        assert ended.status == 2
        assert words in ended.err
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
        assert ended.status == 2
        assert "Set sources.kontist.email" in ended.err
        assert "--email" not in ended.err


def test_without_a_vault_key_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        ended = command(customer, "connect", "kontist", "--email", "ada@example.test", PIPELINES__VAULT_KEY="")
        assert ended.status == 2
        assert "vault key" in ended.err


# ---- by a link, in the dialect graphql


def test_connecting_by_a_link_shows_it_waits_for_the_browser_and_stores_the_login(tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as free:
        here = f"http://127.0.0.1:{free.getsockname()[1]}/callback"
    with a_customer(tmp_path) as customer:
        by_link = environment(customer, SOURCES__KONTIST__REDIRECT_URI=here)
        with begun(tmp_path, by_link, "connect", "kontist", "--json", "--wait", "30") as process:
            assert process.stderr is not None
            shown, waits = process.stderr.readline(), process.stderr.readline()
            assert here in waits
            assert "The login goes on in the terminal" in httpx.get(visited(shown.split()[-1])).text
            done = ended(process)
        assert done.status == 0
        assert (done.parsed["status"], done.parsed["accounts"], done.parsed["notes"]) == ("active", 2, [])
        assert done.err == ""
        assert customer.states() == ["active"]


def test_an_address_is_pasted_where_no_program_can_listen(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        by_link = environment(customer, SOURCES__KONTIST__REDIRECT_URI=ELSEWHERE)
        with begun(tmp_path, by_link, "connect", "kontist", stdin=PIPE) as process:
            assert process.stderr is not None
            lands = visited(process.stderr.readline().split()[-1])
            done = ended(process, f"{lands}\n")
        assert (done.status, done.err) == (0, "Paste the whole address of the page that you came to: ")
        assert "Stored consent" in done.out


def test_nothing_pasted_is_not_taken_for_a_wrong_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"PIPELINES__DATA_DIR": str(tmp_path), "PIPELINES__VAULT_KEY": VAULT_KEY, "SOURCES__KONTIST__DIALECT": "graphql"}
    settings |= {"SOURCES__KONTIST__CLIENT_ID": "own", "SOURCES__KONTIST__CLIENT_SECRET": "own"}
    settings["SOURCES__KONTIST__REDIRECT_URI"] = ELSEWHERE
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    with pytest.raises(WrongUsage, match="No address was pasted"):
        logging_in.connect(parser().parse_args(["connect", "kontist"]))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"PIPELINES__VAULT_KEY": ""}, "No vault key is set"),
        ({"SOURCES__KONTIST__CLIENT_ID": ""}, "https://kontist.dev/client-management/"),
        ({"SOURCES__KONTIST__REDIRECT_URI": "http://ledger.example.test/"}, "would travel unencrypted"),
    ],
)
def test_what_is_missing_for_a_link_is_said_before_one_is_shown(tmp_path: Path, more: dict[str, str], says: str) -> None:
    with a_customer(tmp_path) as customer:
        done = run_command(tmp_path, environment(customer, **more), "connect", "kontist")
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert says in done.err
        assert customer.bank.requests == []
