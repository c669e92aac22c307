"""What a sign-in and a mock session may be asked for, in each dialect: it is honoured or refused, never ignored."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sources.sandbox.world.people import BEN
from tests.consents.customers import DIALECTS, a_bank, settings_for, states, the_vault
from tests.consents.killing import Killer, environment


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_mock_session_is_opened_for_whom_it_is_asked_for(the_killer: Killer, tmp_path: Path, dialect: str) -> None:
    only_live = ("--access-mode", "SINGLE", "--login", BEN.login, "--country", "CZ") if dialect == "live" else ()
    asked = ("--mock", "--owner-external-id", "cust-7", *only_live)
    mode, state = ("SINGLE", "expired") if dialect == "live" else ("MULTIPLE", "active")
    with a_bank(None, dialect=dialect) as (bank, given):
        ended = the_killer.run(environment(bank, tmp_path), "connect", "kontomatik", "--json", *asked)
        settings = settings_for(bank, tmp_path)

        assert (ended.status, [*states(settings).values()], len(given.tokens)) == (0, [state], mode == "MULTIPLE")
        with the_vault(settings) as vault:
            (consent,) = vault.consents()
        assert (consent.access_mode, consent.owner_external_id) == (mode, "cust-7")
        (session,) = bank.kontomatik.sessions.values()
        if dialect == "live":
            assert (session.customer, session.target.country, session.owner_external_id) == (BEN, "cz", "cust-7")


def test_the_country_of_a_sign_in_decides_which_banks_the_customer_sees(the_killer: Killer, tmp_path: Path) -> None:
    with a_bank(None, dialect="live") as (bank, _):
        page = ("--country", "cz", "--locale", "pl", "--wait", "0")
        ended = the_killer.run(environment(bank, tmp_path), "connect", "kontomatik", "--target", "KontoBankApi", *page)

        assert ended.status == 1
        (sign_in,) = bank.kontomatik.sign_ins.values()
        assert sign_in.target.country == "cz"


@pytest.mark.parametrize(
    ("dialect", "asked", "said"),
    [
        ("live", ("--mock", "--access-mode", "MIXED"), "either SINGLE or MULTIPLE"),
        ("live", ("--mock", "--locale", "pl"), "has no sign-in page"),
        ("live", ("--target", "KontoBankApi", "--login", "test2"), "add --mock"),
        ("live", ("--target", "KontoBankApi", "--country", "Poland"), "is not a country"),
        ("live", ("--target", "KontoBankApi", "--locale", "english"), "is not a language"),
        ("openapi", ("--mock", "--login", "test2"), "takes neither --login nor --country"),
        ("openapi", ("--mock", "--access-mode", "SINGLE"), "is always MULTIPLE"),
        ("openapi", ("--target", "KontoBankApi", "--country", "cz"), "takes neither --country nor --locale"),
    ],
)
def test_what_a_sign_in_cannot_be_asked_for_is_refused_before_the_bank_is_asked(
    the_killer: Killer, new_folder: Callable[[], Path], dialect: str, asked: tuple[str, ...], said: str
) -> None:
    folder = new_folder()
    with a_bank(None, dialect=dialect) as (bank, _):
        ended = the_killer.run(environment(bank, folder), "connect", "kontomatik", *asked)

        assert (ended.status, bank.requests) == (2, [])
        assert said in ended.err
        assert not (folder / "vault.sqlite").exists()
