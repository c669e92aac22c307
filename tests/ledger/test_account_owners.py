"""Who owns which account: as the bank says with the account, else as it says with the consent."""

import pytest

from tests.ledger.worlds import built

PEOPLE = [
    {"consent_id": "c-1", "position": 0, "name": "Ada Example"},
    {"consent_id": "c-1", "position": 1, "name": "Sample, Ben"},
    {"consent_id": "c-2", "position": 0, "name": "Carol Beispiel"},
]


@pytest.mark.parametrize(
    ("shown", "linked"),
    [
        ("Ada Example", {("Ada Example", "account")}),
        ("ADA EXAMPLE", {("Ada Example", "account")}),
        ("Ada Example, Sample, Ben", {("Ada Example", "account"), ("Sample, Ben", "account")}),
        (None, {("Ada Example", "consent"), ("Sample, Ben", "consent")}),
        ("Ada Examples", {("Ada Example", "consent"), ("Sample, Ben", "consent")}),
    ],
)
def test_an_account_is_linked_to_the_owners_that_its_bank_names(shown: str | None, linked: set[tuple[str, str]]) -> None:
    given = {
        "kontomatik.accounts": [{"consent_id": "c-1", "owner_name": shown}],
        "kontomatik.owners": PEOPLE,
    }
    with built(given) as connection:
        found = connection.execute(
            "select name, linked_by from ledger.account_owners join ledger.owners using (owner_id)"
        ).fetchall()
        assert set(found) == linked
        assert len(found) == len(linked)


def test_an_account_that_two_consents_read_is_linked_to_the_owners_of_both() -> None:
    given = {
        "kontomatik.accounts": [{"consent_id": "c-1", "owner_name": "Ada Example"}, {"consent_id": "c-2"}],
        "kontomatik.owners": PEOPLE,
    }
    with built(given) as connection:
        found = connection.execute(
            "select name, linked_by from ledger.account_owners join ledger.owners using (owner_id)"
        ).fetchall()
        assert set(found) == {("Ada Example", "account"), ("Carol Beispiel", "consent")}


def test_an_owner_whom_the_bank_no_longer_shows_owns_nothing_and_one_whose_data_changed_is_linked_once() -> None:
    ended = {"valid_to": "2026-04-01T12:00:00+00:00"}
    given = {
        "kontomatik.accounts": [{"consent_id": "c-1"}],
        "kontomatik.owners": [
            {**PEOPLE[0], "email": "ada@old.test", **ended},
            {**PEOPLE[0], "email": "ada@new.test", "valid_from": ended["valid_to"]},
            {**PEOPLE[1], **ended},
        ],
    }
    with built(given) as connection:
        found = connection.execute("select name, email from ledger.account_owners join ledger.owners using (owner_id)").fetchall()
        assert found == [("Ada Example", "ada@new.test")]
