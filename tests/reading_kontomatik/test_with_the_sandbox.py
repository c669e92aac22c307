"""The client against the built-in sandbox bank, over real HTTP, in both dialects."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sources._errors import ConsentGone, Misconfigured, Unexpected
from sources._http import Http
from sources.kontomatik.client import KontomatikClient
from sources.kontomatik.errors import MayBeAccepted
from sources.kontomatik.results import Command, Session
from sources.sandbox import BrokenXml, DropsConnection, ExternalEntity, SandboxBank, TruncatedBody, World, XmlBomb, running
from tests.reading_kontomatik.fake_bank import Kept, rejected_of, rows_of


@contextmanager
def sandbox(dialect: Any, **options: Any) -> Iterator[tuple[SandboxBank, KontomatikClient]]:
    world = World(seed=7)
    with running(world, dialect=dialect, **options) as bank:
        http = Http("kontomatik", f"{bank.url}/v1")
        yield bank, KontomatikClient(http, world.kontomatik_api_key, dialect, poll_interval=0.01)
        http.close()


@pytest.mark.parametrize(("dialect", "wrapped"), [("openapi", False), ("openapi", True), ("live", False)])
def test_an_import_brings_what_the_bank_holds(dialect: str, wrapped: bool) -> None:
    with sandbox(dialect, wrapped_arrays=wrapped) as (bank, client):
        client.health()
        session = client.mock_session(owner_external_id="cust-1")
        result = client.wait(client.start_import(session, None).id, Kept)
        token = result.token or session.token
        assert token

        totals = bank.world.totals(dialect)  # type: ignore[arg-type]
        truth = sorted((own.booked_count, own.booked_sum) for (name, _), own in totals.items() if name == "kontomatik")
        found = []
        for account in result.accounts:
            assert account.error is None
            assert account.newest_first
            assert rejected_of(account) == []
            assert account.unknown_fields == frozenset()
            booked = [row["amount"] for row in rows_of(account) if row["status"] in (None, "DONE")]
            found.append((len(booked), sum(booked, Decimal(0))))
        assert sorted(found) == truth
        assert result.institution == "KontoBank"

        again = client.reuse(token, bank.world.clock.now().date() - timedelta(days=20))
        command = again if isinstance(again, Command) else client.start_import(again, None)
        assert isinstance(again, Session) is (dialect == "live")
        repeated = client.wait(command.id, Kept)
        assert [one.account_id for one in repeated.accounts] == [one.account_id for one in result.accounts]
        client.delete(token)
        with pytest.raises(ConsentGone):
            client.delete(token)


@pytest.mark.parametrize("dialect", ["openapi", "live"])
def test_a_customer_signs_in(dialect: str) -> None:
    with sandbox(dialect) as (_, client):
        target = client.catalog("pl", "MULTIPLE")[0].target
        sign_in = client.start_sign_in(target, "MULTIPLE", "https://app.example.test/back")
        assert client.sign_in_status(sign_in).state == "pending"
        httpx.get(sign_in.link)
        status = client.sign_in_status(sign_in)
        assert status.state == "completed"
        assert status.session
        assert client.start_import(status.session, None).id


@pytest.mark.parametrize("dialect", ["openapi", "live"])
@pytest.mark.parametrize("fault", [XmlBomb, ExternalEntity, BrokenXml])
def test_an_answer_that_is_spoilt_is_refused_and_nothing_is_kept(dialect: str, fault: Any) -> None:
    with sandbox(dialect) as (bank, client):
        command = client.start_import(client.mock_session(), None)
        bank.faults.append(fault(times=None))
        spools: list[Kept] = []

        def new_spool() -> Kept:
            spools.append(Kept())
            return spools[-1]

        with pytest.raises(Unexpected):
            client.wait(command.id, new_spool)
        assert all(not spool.batches for spool in spools)


@pytest.mark.parametrize("dialect", ["openapi", "live"])
def test_a_reused_consent_whose_answer_is_lost_is_asked_for_once(dialect: str) -> None:
    with sandbox(dialect) as (bank, client):
        session = client.mock_session()
        result = client.wait(client.start_import(session, None).id, Kept)
        bank.faults.append(DropsConnection(path_contains="reuse"))
        with pytest.raises(MayBeAccepted):
            client.reuse(result.token or session.token or "", None)
        assert bank.count("POST", "reuse-multiple-access") == 1


@pytest.mark.parametrize("dialect", ["openapi", "live"])
def test_an_answer_that_breaks_off_half_way_is_asked_for_again(dialect: str) -> None:
    with sandbox(dialect) as (bank, client):
        command = client.start_import(client.mock_session(), None)
        bank.faults.append(TruncatedBody(times=1))
        assert len(client.wait(command.id, Kept).accounts) == 6


@pytest.mark.parametrize(("ours", "theirs"), [("openapi", "live"), ("live", "openapi")])
def test_the_wrong_dialect_is_named(ours: Any, theirs: str) -> None:
    with sandbox(theirs) as (bank, _):
        http = Http("kontomatik", f"{bank.url}/v1")
        client = KontomatikClient(http, bank.world.kontomatik_api_key, ours)
        with pytest.raises(Misconfigured, match=r"sources\.kontomatik\.dialect"):
            client.mock_session()
        http.close()
