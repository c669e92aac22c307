"""No token, key, signature, session or identity number in any file, and none in anything that is printed."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sources.sandbox import CommandFails, CommandNeverEnds, DropsConnection, Fault, HtmlInsteadOfJson, Refuses
from sources.sandbox.world.people import ADA, BEN, Customer
from tests.consents.customers import DIALECTS, SignsIn, a_bank, settings_for, states
from tests.consents.killing import Killer, Victim, environment
from tests.consents.test_ending import everything

PESEL = {ADA.login: "80010112345", BEN.login: "81020254321"}
DOCUMENT = "XXX000000"


@contextmanager
def numbered(*people: Customer) -> Iterator[None]:
    """Identity numbers that nothing else looks like."""
    before = {one: one.national_id for one in people}
    for one in people:
        object.__setattr__(one, "national_id", PESEL[one.login])
    yield
    for one, number in before.items():
        object.__setattr__(one, "national_id", number)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_secret_is_written_or_said(the_killer: Killer, new_folder: Callable[[], Path], dialect: str) -> None:
    data, said = new_folder(), []
    links: list[str] = []
    with numbered(ADA, BEN), a_bank(None, dialect=dialect) as (bank, given):
        environ = environment(bank, data) | {"SOURCES__KONTOMATIK__COMMAND_DEADLINE": "0.03"}
        sessions: dict[str, Any] = {}

        def command(*arguments: str, quick: bool = True, fault: Fault | None = None, **more: Any) -> Victim:
            bank.faults[:] = [SignsIn(), *([fault] if fault else [])]
            ended = the_killer.run(environ | more.pop("environ", {}), *arguments, quick=quick, **more)
            links.extend(re.findall(r"Sign in at the bank: (.*)", ended.err))
            said.append(ended.out + re.sub(r"Sign in at the bank: .*", "", ended.err))
            sessions.update(bank.kontomatik.sessions)
            return ended

        sign_in = ("connect", "kontomatik", "--target", "KontoBankApi")
        quick = dialect == "openapi"  # with dlt and a ledger in one of them
        assert command(*sign_in, quick=quick).status == 0
        assert command("run", quick=quick).status == 0
        (own,) = states(settings_for(bank, data))
        secrets = {*given.tokens, "tests-only-vault-key", environ["PIPELINES__VAULT_KEY"], bank.world.kontomatik_api_key}
        identities = {*PESEL.values(), DOCUMENT}
        leaked = [secret for secret in secrets | identities if secret in _everything_in(data) + "".join(said)]
        assert leaked == []

        for fault in (
            Refuses(exception="", status=401),
            Refuses(exception="SomethingNew", path_contains="reuse"),
            CommandFails(times=1),
            CommandNeverEnds(times=1),
            HtmlInsteadOfJson(times=9, path_contains="command"),
            DropsConnection(times=1, path_contains="reuse", unread=True),
        ):
            command("run", "--json", fault=fault, environ={"SOURCES__KONTOMATIK__IMPORTS_PER_DAY": "1000"})
        wrong = {"PIPELINES__VAULT_KEY": "YW5vdGhlci12YXVsdC1rZXktZm9yLXRlc3RzLTAwMDA="}
        command("run", environ=wrong)
        command("run", environ={"SOURCES__KONTOMATIK__API_KEY": "another key with spaces"})
        command("status", "--json")
        command("status")
        command("doctor")
        command("doctor", environ=wrong)
        command("consents", "trail", "--json")
        command("consents", "list", "--json")
        command("consents", "add", "kontomatik", "--institution", "B", given=given.tokens[0] + " and more")
        command("consents", "add", "kontomatik", "--institution", "B", given=given.tokens[0])
        command("consents", "renew", own, environ={"SOURCES__KONTOMATIK__IMPORTS_PER_DAY": "1000"})
        command("consents", "revoke", own, fault=Refuses(exception="IO", path_contains="delete"))
        command("consents", "revoke", own)
        command("consents", "erase", own, "--yes")

        secrets |= {*given.tokens, *wrong.values(), "another key with spaces"}
        secrets |= {one.signature for one in sessions.values()}
        secrets |= set(sessions) - {re.sub(r".*id=", "", link) for link in links}  # the link names the sign-in, and must
        assert len(said) > 20
        assert not any("fault in this program" in one for one in said)
        assert len(secrets) > 10
        for where, found in (("files", _everything_in(data)), ("output", "".join(said))):
            assert (where, [secret for secret in secrets | identities if secret in found]) == (where, [])


def _everything_in(folder: Path) -> str:
    """Every file as it is, and every row of every table."""
    found = [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    found += [everything(path) for path in folder.glob("*.duckdb")]
    return "\n".join(found)
