"""What somebody hostile can put in the way of a login by link: addresses, pages, answers. No secret leaves the program."""

import json
from pathlib import Path
from socket import create_server
from threading import Thread
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.consents.clients import BankSaidNo
from pipelines.consents.kontist_oauth import Person, sign_in
from pipelines.errors import Failure
from sources._errors import Rejected
from sources.kontist.auth import Application
from sources.kontist.oauth import code_of
from sources.sandbox import HtmlInsteadOfJson, ServerError
from sources.sandbox.banks.wire import Answer
from tests.kontist_login.by_link import by_pasting, connect, settings_of, visited
from tests.kontist_login.logins import a_customer, good
from tests.kontist_login.test_interrupted_logins import environment, token
from tests.support import command

HERE = "https://ledger.example.test/kontist"
APPLICATION = Application("id", "secret", HERE)
STATE = "s" * 32


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (f"https://evil.example.test/kontist?code=1&state={STATE}", "not the redirect address"),
        (f"https://ledger.example.test@evil.example.test/kontist?code=1&state={STATE}", "not the redirect address"),
        (f"https://ledger.example.test.evil.test/kontist?code=1&state={STATE}", "not the redirect address"),
        (f"http://ledger.example.test/kontist?code=1&state={STATE}", "not the redirect address"),
        (f"{HERE}/../x?code=1&state={STATE}", "not the redirect address"),
        (f"https://[::1?code=1&state={STATE}", "not the redirect address"),
        (f"https://ledger.example.test℀/kontist?code=1&state={STATE}", "not the redirect address"),
        (f"{HERE}?code=1&state={STATE}&x={'x' * 5000}", "not the redirect address"),
        (f"{HERE}?{'&'.join(f'x{number}=1' for number in range(99))}&code=1&state={STATE}", "not the redirect address"),
        ("", "not the redirect address"),
        (f"{HERE}?code=1", "belongs to another login"),
        (f"{HERE}?code=1&state={STATE}x", "belongs to another login"),
        (f"{HERE}?code=1&state={STATE}&state=other", "belongs to another login"),
        (f"{HERE}?code=1&state=other&state={STATE}", "belongs to another login"),
        (f"{HERE}?code=1#state={STATE}", "belongs to another login"),
        (f"{HERE}?state={STATE}", "holds no code"),
        (f"{HERE}?code=1&code=2&state={STATE}", "holds no code"),
        (f"{HERE}?code=1%0d%0aX-Evil:%201&state={STATE}", "holds no code"),
        (f"{HERE}?code=a%20b&state={STATE}", "holds no code"),
        (f"{HERE}?code=%E2%82%AC&state={STATE}", "holds no code"),
        (f"{HERE}?error=%7B%22type%22%3A%22AccessDeniedError%22%7D&state={STATE}", "refused by the customer"),
        (f"{HERE}?error={quote('[' * 900)}&state={STATE}", "the bank refused the login"),
        (f"{HERE}?error=%1b]0;evil%07&code=1&state={STATE}", "the bank refused the login"),
    ],
)
def test_an_address_that_is_not_of_this_login_brings_no_code_and_is_not_repeated(address: str, says: str) -> None:
    with pytest.raises(Rejected, match=says) as caught:
        code_of(address, APPLICATION, STATE)
    assert not any(part in str(caught.value) for part in ("evil", STATE, "code=", "\x1b", "[["))


@given(st.text() | st.text().map(lambda rest: f"{HERE}?state={STATE}&{rest}"))
@settings(max_examples=60)
def test_whatever_is_pasted_gives_a_code_that_can_be_sent_or_a_sentence(address: str) -> None:
    try:
        code = code_of(address, APPLICATION, STATE)
    except Rejected:
        return
    assert code.isascii()
    assert code.isprintable()
    assert " " not in code


def test_a_link_is_good_for_one_login(tmp_path: Path) -> None:
    landed: list[str] = []
    with a_customer(tmp_path) as customer:
        by_pasting(customer, lambda address: landed.append(address) or address)
        with pytest.raises(BankSaidNo, match="belongs to another login"):
            by_pasting(customer, lambda _: landed[0])
        assert customer.bank.count("POST", "/oauth/token") == 1
        with pytest.raises(BankSaidNo, match="does not accept the code"):
            by_pasting(customer, lambda address: address.replace("code=", "code=x"))


def test_a_stranger_on_this_machine_ends_no_login_and_brings_none(tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as free:
        host = f"http://127.0.0.1:{free.getsockname()[1]}"
    here, seen = f"{host}/callback", list[int]()
    with a_customer(tmp_path) as customer:

        def browser(link: str) -> None:
            state = link.rpartition("state=")[2]
            with httpx.Client() as http:
                for address in (
                    f"{here}?code=evil",
                    f"{here}?code=evil&state={state}x",
                    f"{here}?error=x&state=",
                    f"{host}/other?code=evil&state={state}",
                ):
                    seen.append(http.get(address).status_code)
                seen.append(http.post(f"{here}?code=evil&state={state}").status_code)
                seen.append(http.get(visited(link)).status_code)

        threads: list[Thread] = []

        def show(link: str) -> None:
            threads.append(Thread(target=browser, args=(link,)))
            threads[0].start()

        assert sign_in(settings_of(customer, redirect_uri=here), Person(show, str, seconds=20)).refresh_token
        threads[0].join()
    assert seen == [404, 404, 404, 404, 501, 200]


class Says(ServerError):
    """Answers the token endpoint with these bytes."""

    def __init__(self, body: bytes, status: int = 200, kind: str = "application/json") -> None:
        super().__init__(times=None)
        self.says = Answer(status, body, kind)

    def before(self, call, _, /):  # type: ignore[no-untyped-def]
        return self.says if call.path.endswith("/oauth/token") else None


@pytest.mark.parametrize(
    "fault",
    [
        HtmlInsteadOfJson(times=None, path_contains="/oauth/token"),
        Says(b"[" * 100_000),
        Says(b"null"),
        Says(b'{"access_token": "a b", "refresh_token": "r"}'),
        Says(b'{"access_token": "a\\r\\nX: y", "refresh_token": "r"}'),
        Says(b'{"access_token": ["a"], "refresh_token": {"b": 1}, "scope": {"x": 1}}'),
        Says(b'{"error": "invalid_client", "error_description": "secret-of-somebody"}', 401),
        Says(b'{"error": ' + b"[" * 5000 + b'"secret-of-somebody"', 400),
    ],
    ids=range(8),
)
def test_an_odd_answer_to_a_code_stores_nothing_and_is_not_repeated(tmp_path: Path, fault: ServerError) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.faults.append(fault)
        with pytest.raises(Failure) as caught:
            by_pasting(customer)
        assert "secret" not in str(caught.value).replace("client_secret", "")
        assert customer.bank.count("POST", "/oauth/token") == 1, "a code is sent once"
        with customer.vault() as vault:
            assert vault.consents() == []


def test_no_secret_is_in_a_file_an_output_or_the_audit_trail(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        oauth = customer.bank.kontist.oauth
        oauth.rotates = oauth.skips_mfa = True
        secrets = [customer.world.kontist_client_secret, oauth.pair()[1]]
        said = [command(tmp_path, environment(customer), "consents", "add", "kontist", given=f"{secrets[1]}\n")]
        consent = connect(customer)
        secrets.append(customer.token(consent))
        assert good(customer.read(settings_of(customer)))
        secrets.append(customer.token(consent))
        said += [
            command(tmp_path, environment(customer), *words)
            for words in (("doctor",), ("consents", "trail"), ("consents", "list"))
        ]
        secrets.append(customer.token(consent))
        customer.bank.kontist.tokens.end_all("refresh")
        said.append(command(tmp_path, environment(customer), "doctor"))
        everywhere = customer.on_disk().decode("latin-1") + json.dumps([one.out + one.err for one in said])
        assert len({*secrets}) >= 4
        for secret in secrets:
            assert secret not in everywhere
            assert secret.rpartition(".")[2] not in everywhere


def test_disconnecting_a_login_by_link_forgets_it_and_says_what_is_left_to_do(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        added = command(tmp_path, environment(customer), "consents", "add", "kontist", given=f"{token(customer)}\n")
        assert added.status == 0, added.err
        ended = command(tmp_path, environment(customer), "disconnect", "kontist")
        assert ended.status == 0, ended.err
        assert "its token is forgotten; end the application's access in Kontist's own settings" in ended.out
        assert customer.sealed() == [None]
