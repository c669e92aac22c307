"""`explain --ask-bank`: what the bank says of a row today, next to what the ledger holds."""

import json
import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.consents.clients import BankSaidNo
from pipelines.errors import FAILED, GOOD, WRONG_USAGE, WrongUsage
from sources.sandbox import ServerError, Transaction, running
from sources.sandbox.banks.graphql import uuid_of
from tests.kontist_login.logins import VAULT_KEY, Customer, a_customer
from tests.questions.asked import ask, data_dir, printed_json
from tests.support import command

LOGGING_IN = [("POST", "/api/user/refresh-token"), ("POST", "/api/user/auth-token")]
NEW_IBAN = "DE02120300000000202051"


@pytest.fixture(scope="module")
def read_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    """A customer whose accounts were read into a ledger; the bank goes on, and each test changes rows of its own."""
    with a_customer(tmp_path_factory.mktemp("asked")) as customer:
        customer.world.append("4711", amount="-9.99", pending=True)
        assert customer.read(customer.with_password(), ledger=True).status == "ok"
        yield customer


@pytest.fixture
def customer(read_once: Customer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Customer]:
    """The same, with settings to log in with, and a bank that was asked nothing yet."""
    monkeypatch.setenv("SOURCES__KONTIST__BASE_URL", read_once.bank.url)
    monkeypatch.setenv("SOURCES__KONTIST__EMAIL", read_once.world.kontist_email)
    monkeypatch.setenv("SOURCES__KONTIST__PASSWORD", read_once.world.kontist_password)
    read_once.bank.requests.clear()
    yield read_once
    read_once.bank.faults.clear()


@pytest.fixture(scope="module")
def read_by_graphql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    """The same in the other dialect."""
    with a_customer(tmp_path_factory.mktemp("asked")) as customer:
        customer.world.append("4711", amount="-9.99", pending=True)
        world = customer.world
        own = {"client_id": world.kontist_client_id, "client_secret": world.kontist_client_secret}
        settings = customer.settings(dialect="graphql", refresh_token=customer.bank.kontist.oauth.pair()[1], **own)
        assert customer.read(settings, ledger=True).status == "ok"
        yield customer


@pytest.fixture
def by_graphql(read_by_graphql: Customer, monkeypatch: pytest.MonkeyPatch) -> Customer:
    """The same, with settings to log in with, and a bank that was asked nothing yet."""
    customer = read_by_graphql
    monkeypatch.setenv("SOURCES__KONTIST__BASE_URL", customer.bank.url)
    monkeypatch.setenv("SOURCES__KONTIST__DIALECT", "graphql")
    monkeypatch.setenv("SOURCES__KONTIST__CLIENT_ID", customer.world.kontist_client_id)
    monkeypatch.setenv("SOURCES__KONTIST__CLIENT_SECRET", customer.world.kontist_client_secret)
    monkeypatch.setenv("SOURCES__KONTIST__REFRESH_TOKEN", customer.bank.kontist.oauth.pair()[1])
    customer.bank.requests.clear()
    return customer


def booked(customer: Customer, number: int) -> Transaction:
    """A row with money out; each test takes a number of its own."""
    return [row for row in customer.world.account("4711").transactions if row.cents < 0 and row.booked_on][number]


def our_id(customer: Customer, row: Transaction) -> str:
    ids = f"('{row.id}', '{uuid_of('transaction', row.id)}')"
    query = f"select transaction_id from kontist.transactions where source_transaction_id in {ids}"
    return str(customer.rows(query)[0][0])


def asked(customer: Customer, row: Transaction, capsys: Any) -> tuple[dict[str, Any], str]:
    """The answer as an object, and what people read of it."""
    transaction_id = our_id(customer, row)
    assert ask(customer.data_dir, "explain", transaction_id, "--ask-bank", "--json") == GOOD
    bank = printed_json(capsys)["bank"]
    assert ask(customer.data_dir, "explain", transaction_id, "--ask-bank") == GOOD
    return bank, capsys.readouterr().out


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def a_copy(customer: Customer, folder: Path) -> Customer:
    """The same bank and a data directory that a test may change."""
    shutil.copytree(customer.data_dir, folder / "data")
    return Customer(customer.bank, folder / "data")


def test_a_row_that_is_unchanged_is_the_same_whichever_way_its_money_went(customer: Customer, capsys: Any) -> None:
    came_in = next(row for row in customer.world.account("4711").transactions if row.cents > 0)
    for row in (booked(customer, 0), came_in):
        bank, read = asked(customer, row, capsys)

        assert (bank["answer"], bank["differences"], bank["read_again_since"]) == ("same", [], None)
        assert "version 1: valid from" in read
        assert read.endswith("UTC: the bank says the same\n")


def test_one_request_is_sent_after_the_login_and_nothing_is_stored(customer: Customer, capsys: Any) -> None:
    row, before = booked(customer, 0), files(customer.data_dir)
    ask(customer.data_dir, "explain", our_id(customer, row), "--ask-bank")

    assert customer.bank.requests == [*LOGGING_IN, ("GET", f"/api/accounts/4711/transactions/{row.id}")]
    assert files(customer.data_dir) == before


def test_nobody_is_asked_unless_somebody_says_so(customer: Customer, capsys: Any) -> None:
    ask(customer.data_dir, "explain", our_id(customer, booked(customer, 0)), "--json")

    assert "bank" not in printed_json(capsys)
    assert customer.bank.requests == []


def test_an_edited_row_differs_in_the_fields_that_were_edited(customer: Customer, capsys: Any) -> None:
    row = booked(customer, 1)
    before, cents = row.description, -row.cents
    customer.world.correct(row, amount=row.amount - 1, description="edited")
    bank, read = asked(customer, row, capsys)

    assert bank["answer"] == "differs"
    assert bank["differences"] == [
        {"field": "absolute_amount_cents", "ledger": cents, "bank": cents + 100},
        {"field": "purpose", "ledger": before, "bank": "edited"},
    ]
    assert "UTC: the bank says something else\n" in read
    assert f"  absolute_amount_cents: {cents} in the ledger, {cents + 100} at the bank\n" in read
    assert read.endswith(f"run --source kontist --since {row.booked_on}\n")


def test_a_row_that_moved_is_to_be_read_again_from_the_earlier_of_its_days(customer: Customer, capsys: Any) -> None:
    row, earlier = booked(customer, 2), booked(customer, 3).booked_on
    customer.world.correct(row, day=earlier)
    bank, _ = asked(customer, row, capsys)

    assert [one["field"] for one in bank["differences"]] == ["booking_date", "valuta_date"]
    assert bank["read_again_since"] == str(earlier)


def test_an_iban_that_differs_is_shown_by_its_end(customer: Customer, capsys: Any) -> None:
    row = booked(customer, 4)
    customer.world.correct(row, party_iban=NEW_IBAN)
    bank, read = asked(customer, row, capsys)

    assert [one["bank"] for one in bank["differences"]] == ["…2051"]
    assert NEW_IBAN not in read


def test_a_deleted_row_is_one_that_the_bank_no_longer_knows(customer: Customer, capsys: Any) -> None:
    row = booked(customer, 5)
    customer.world.delete(row)
    bank, read = asked(customer, row, capsys)

    assert (bank["answer"], bank["differences"], bank["read_again_since"]) == ("unknown", [], str(row.booked_on))
    assert "UTC: the bank no longer knows it\n" in read


def test_a_reservation_that_is_gone_may_be_booked(customer: Customer, capsys: Any) -> None:
    row = next(row for row in customer.world.account("4711").transactions if not row.booked_on)
    customer.world.delete(row)
    _, read = asked(customer, row, capsys)

    assert "no longer knows it; a reservation goes when it is booked" in read


def test_a_row_that_its_list_stopped_showing_may_still_be_known(customer: Customer, tmp_path: Path, capsys: Any) -> None:
    row, copy = booked(customer, 6), a_copy(customer, tmp_path)
    with duckdb.connect(copy.data_dir / "raw.duckdb") as raw:
        raw.execute(f"update kontist.transactions set _dlt_valid_to = now() where source_transaction_id = '{row.id}'")
    bank, read = asked(copy, row, capsys)

    assert (bank["answer"], bank["read_again_since"]) == ("same", str(row.booked_on))
    assert "the bank says the same, though its list has stopped showing it" in read


def test_a_stored_login_is_used_as_a_run_would_and_is_over_once_the_bank_refuses_it(
    customer: Customer, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCES__KONTIST__PASSWORD")
    monkeypatch.setenv("PIPELINES__VAULT_KEY", VAULT_KEY)
    row, copy = booked(customer, 0), a_copy(customer, tmp_path)
    copy.connect()
    customer.bank.requests.clear()
    assert ask(copy.data_dir, "explain", our_id(copy, row), "--ask-bank") == GOOD
    assert customer.bank.requests == [LOGGING_IN[1], ("GET", f"/api/accounts/4711/transactions/{row.id}")]

    customer.bank.kontist.tokens.end_all("refresh")
    with pytest.raises(BankSaidNo, match="Log in again"):
        ask(copy.data_dir, "explain", our_id(copy, row), "--ask-bank")
    assert copy.states() == ["expired"]


def test_a_kontomatik_row_cannot_be_asked_for(customer: Customer, tmp_path: Path, capsys: Any) -> None:
    folder = data_dir(tmp_path, {"kontomatik.transactions": [{"account_id": "kontomatik:a", "transaction_id": "kontomatik:a:1"}]})
    with pytest.raises(WrongUsage, match="no such endpoint, and asking would spend one of the imports") as refused:
        ask(folder, "explain", "kontomatik:a:1", "--ask-bank")

    assert refused.value.exit_status == WRONG_USAGE
    assert capsys.readouterr().out == ""
    assert customer.bank.requests == []


def test_an_id_that_never_was_is_not_asked_for(customer: Customer) -> None:
    with pytest.raises(WrongUsage, match="No transaction has or had this id"):
        ask(customer.data_dir, "explain", "kontist:a:4711", "--ask-bank")

    assert customer.bank.requests == []


def test_without_a_login_it_says_how_to_get_one(customer: Customer, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCES__KONTIST__PASSWORD")
    with pytest.raises(WrongUsage, match="Kontist is not configured: run `python -m pipelines connect kontist`"):
        ask(customer.data_dir, "explain", our_id(customer, booked(customer, 0)), "--ask-bank")

    assert capsys.readouterr().out == ""
    assert not (customer.data_dir / "vault.sqlite").exists()


def test_a_wrong_password_is_reported_after_what_raw_history_knows(
    customer: Customer, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__KONTIST__PASSWORD", "a wrong one")
    with pytest.raises(BankSaidNo) as refused:
        ask(customer.data_dir, "explain", our_id(customer, booked(customer, 0)), "--ask-bank")

    assert refused.value.exit_status == FAILED
    assert "a wrong one" not in str(refused.value)
    assert "status: booked" in capsys.readouterr().out
    assert customer.bank.requests == LOGGING_IN  # the bank refuses a refresh token, and an auth token too


def test_a_bank_that_is_down_is_asked_once(customer: Customer, capsys: Any) -> None:
    customer.bank.faults.append(ServerError(path_contains="/transactions/"))
    transaction_id = our_id(customer, booked(customer, 0))
    assert ask(customer.data_dir, "explain", transaction_id, "--ask-bank", "--json") == FAILED

    printed = capsys.readouterr()
    content = json.loads(printed.out)
    assert printed.err == f"{content['error']}\n" == "Kontist: the bank answered 503. Try again later.\n"
    assert (content["exit_status"], content["bank"], len(content["versions"])) == (FAILED, None, 1)
    assert len(customer.bank.requests) == 3


def test_a_bank_that_is_away_costs_no_traceback_and_no_explanation(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(customer.world) as gone:
        monkeypatch.setenv("SOURCES__KONTIST__BASE_URL", gone.url)
    settings = {name: value for name, value in os.environ.items() if name.startswith(("SOURCES__", "PIPELINES__"))}
    asked = ("explain", our_id(customer, booked(customer, 0)), "--ask-bank", "--data-dir", str(customer.data_dir))
    ended = command(customer.data_dir, settings, *asked)

    assert ended.status == FAILED
    assert "version 1: valid from" in ended.out
    assert ended.err == f"Kontist: {gone.url[7:]} cannot be reached. Check the network and the setting base_url.\n"


# ---- by GraphQL, which has no query for one row


def test_by_graphql_a_row_is_found_by_its_day_and_amount_in_one_request(by_graphql: Customer, capsys: Any) -> None:
    further = next(row for row in by_graphql.world.account("4712").transactions if row.booked_on)
    for row in (booked(by_graphql, 0), further):
        by_graphql.bank.requests.clear()
        assert ask(by_graphql.data_dir, "explain", our_id(by_graphql, row), "--ask-bank", "--json") == GOOD
        bank = printed_json(capsys)["bank"]

        assert (bank["answer"], bank["differences"], bank["read_again_since"]) == ("same", [], None)
        assert [path for _, path in by_graphql.bank.requests] == ["/api/oauth/token", "/api/graphql"]


def test_by_graphql_a_row_with_another_amount_or_day_is_found_by_a_second_request(by_graphql: Customer, capsys: Any) -> None:
    row, moved = booked(by_graphql, 1), booked(by_graphql, 2)
    cents = -row.cents
    by_graphql.world.correct(row, amount=row.amount - 1)
    by_graphql.world.correct(moved, day=moved.day - timedelta(days=3))
    bank, _ = asked(by_graphql, row, capsys)
    assert bank["differences"] == [{"field": "absolute_amount_cents", "ledger": cents, "bank": cents + 100}]
    bank, _ = asked(by_graphql, moved, capsys)
    assert {one["field"] for one in bank["differences"]} == {"booking_date", "valuta_date"}
    assert bank["read_again_since"] == str(moved.day)


def test_by_graphql_a_row_that_is_not_there_costs_two_requests_and_is_unknown(by_graphql: Customer, capsys: Any) -> None:
    row = booked(by_graphql, 5)
    by_graphql.world.delete(row)
    by_graphql.bank.requests.clear()
    bank, read = asked(by_graphql, row, capsys)

    assert (bank["answer"], bank["read_again_since"]) == ("unknown", str(row.booked_on))
    assert "UTC: the bank no longer knows it\n" in read
    assert by_graphql.bank.count("POST", "/graphql") == 4, "it was asked twice"


def test_by_graphql_a_reservation_is_found_even_where_the_filter_hides_it(by_graphql: Customer, capsys: Any) -> None:
    row = next(row for row in by_graphql.world.account("4711").transactions if not row.booked_on)
    by_graphql.bank.kontist.graphql.filter_hides_pending = True
    bank, _ = asked(by_graphql, row, capsys)

    assert bank["answer"] == "same"


def test_by_graphql_a_column_that_the_service_refuses_is_no_difference(by_graphql: Customer, capsys: Any) -> None:
    by_graphql.bank.kontist.graphql.lacks = {"Transaction.name", "Transaction.purpose"}
    try:
        bank, _ = asked(by_graphql, booked(by_graphql, 3), capsys)
    finally:
        by_graphql.bank.kontist.graphql.lacks = set()
    assert (bank["answer"], bank["differences"]) == ("same", [])
