"""How accounts, cards and owners are read and recognised again."""

from decimal import Decimal

import pytest

from sources._errors import Unexpected
from sources._identity import account_id
from sources.kontomatik.columns import ACCOUNTS, OWNERS
from sources.kontomatik.results import AccountRead
from tests.reading_kontomatik.fake_bank import (
    IBAN,
    element,
    live,
    live_account,
    live_row,
    open_account,
    open_row,
    openapi,
    result_of,
    rows_of,
)


def accounts(document: str) -> list[AccountRead]:
    return result_of(document).accounts


def card(number: str | None = "4999 **** **** 0042", iban: str | None = IBAN, *rows: str, more: str = "") -> str:
    return (
        f"<creditCard>{element('name', 'Visa')}{element('cardId', number)}{element('iban', iban)}{element('number', number)}"
        f"<currencyName>PLN</currencyName>{more}<moneyTransactions>{''.join(rows)}</moneyTransactions></creditCard>"
    )


def test_an_account_is_its_iban_and_currency_in_either_dialect_however_it_is_spelt() -> None:
    spellings = [IBAN, "PL45 9999 0001 0000 0000 0000 4242", IBAN.lower(), IBAN[2:]]
    ids = {accounts(live(live_account(iban=one)))[0].account_id for one in spellings}
    ids |= {accounts(openapi(open_account(number=one)))[0].account_id for one in spellings}
    assert ids == {account_id("kontomatik", IBAN, "PLN")}


def test_the_same_iban_in_another_currency_is_another_account() -> None:
    one, other = accounts(live(live_account(live_row()), live_account(live_row(), currency="EUR")))
    assert one.account_id != other.account_id
    assert one.error is None
    assert other.error is None


def test_an_account_without_an_iban_is_read_and_recognised_by_number_or_name() -> None:
    (by_name,) = accounts(live(live_account(live_row(), iban=None, more="<name>Lokata</name>")))
    (by_number,) = accounts(live(live_account(live_row(), iban=None, more="<name>Lokata</name><number>S-1</number>")))
    (again,) = accounts(live(live_account(iban=None, more="<name>Other name</name><number>S-1</number>")))
    (same_in_openapi,) = accounts(openapi(open_account(number="S-1")))

    assert by_name.account_id != by_number.account_id == again.account_id == same_in_openapi.account_id
    assert (by_name.source_account_id, by_number.source_account_id) == ("Lokata", "S-1")
    assert len(rows_of(by_name)) == 1


def test_an_iban_that_is_none_is_a_number() -> None:
    (account,) = accounts(live(live_account(iban="PL00 1234")))
    assert (account.account["iban"], account.account["number"]) == (None, "PL00 1234")
    assert account.error is None


def test_a_card_is_never_the_account_whose_iban_it_repeats() -> None:
    account, visa = accounts(live(live_account(live_row()), cards=card("4999 **** **** 0042", IBAN, live_row())))
    assert account.account_id != visa.account_id
    assert (account.account["account_type"], visa.account["account_type"]) == ("account", "card")
    assert (visa.account["iban"], visa.account["number"]) == (IBAN, "4999 **** **** 0042")
    assert len(rows_of(account)) == len(rows_of(visa)) == 1


def test_cards_of_one_account_are_told_apart_by_their_numbers() -> None:
    ids = {one.account_id for one in accounts(live(cards=card("4999 **** **** 0042") + card("4999 **** **** 0043")))}
    assert len(ids) == 2


def test_a_masked_number_among_the_accounts_of_the_published_specification_is_a_card() -> None:
    for number in ("4999 **** **** 0042", "4999********0042", "4999XXXXXXXX0042"):
        (found,) = accounts(openapi(open_account(number=number)))
        assert found.account["account_type"] == "card"
        assert found.error is None
    for number in ("XX00 1234", "S-0042", IBAN):
        assert accounts(openapi(open_account(number=number)))[0].account["account_type"] == "account"


@pytest.mark.parametrize("twin", [live_account(live_row()), live_account(live_row(amount="1.00"), more="<name>Second</name>")])
def test_two_accounts_that_cannot_be_told_apart_are_both_refused_and_the_third_loads(twin: str) -> None:
    third = live_account(live_row(), iban=None, more="<name>Lokata</name>")
    first, second, other = accounts(live(live_account(live_row()), twin, third))
    for one in (first, second):
        assert isinstance(one.error, Unexpected)
        assert "cannot be distinguished" in str(one.error)
        assert rows_of(one) == []
    assert (other.error, len(rows_of(other))) == (None, 1)


def test_an_account_that_nothing_names_is_refused() -> None:
    (nameless,) = accounts(live(live_account(live_row(), iban=None)))
    assert isinstance(nameless.error, Unexpected)
    unknown_bank = f"<CommandResult><id>1</id><status>COMPLETED</status>{open_account(open_row(), number='S-1')}</CommandResult>"
    assert isinstance(accounts(unknown_bank)[0].error, Unexpected)
    with_iban = f"<CommandResult><id>1</id><status>COMPLETED</status>{open_account(open_row())}</CommandResult>"
    assert accounts(with_iban)[0].error is None


@pytest.mark.parametrize(
    ("target", "institution"),
    [("KontoBankApi", "KontoBank"), ("KontoBank", "KontoBank"), ("SampleApi_cz", "Sample_cz"), ("Apis", "Apis"), ("Api", "Api")],
)
def test_an_institution_stays_when_its_target_flips(target: str, institution: str) -> None:
    document = openapi(open_account(number="S-1")).replace("KontoBankApi", target)
    assert result_of(document).institution == institution


@pytest.mark.parametrize(
    ("marks", "partial"),
    [
        (' partialDueToTimeout="true"', True),
        (' partialDueToTimeout="TRUE"', True),
        (' partialDueToTimeout="1"', True),
        (' partialDueToTimeout="perhaps"', True),
        (' partialDueToTimeout="false"', False),
        ("", False),
    ],
)
def test_an_answer_that_the_bank_cut_short_says_so(marks: str, partial: bool) -> None:
    assert accounts(live(live_account(live_row(), marks=marks)))[0].partial is partial
    visa = card().replace("<creditCard>", f"<creditCard{marks}>")
    assert accounts(live(cards=visa))[0].partial is partial


def test_one_accounts_mark_is_not_anothers() -> None:
    cut, whole = accounts(live(live_account(marks=' partialDueToTimeout="true"'), live_account(currency="EUR")))
    assert (cut.partial, whole.partial) == (True, False)


def test_money_and_days_of_an_account_are_exact_or_kept_as_text() -> None:
    more = (
        "<currencyBalance>1200.4</currencyBalance><currencyFundsAvailable>1.0E3</currencyFundsAvailable>"
        "<activeSinceAtLeast>yesterday</activeSinceAtLeast>"
    )
    found = accounts(live(live_account(more=more)))[0].account
    assert found["balance"] == Decimal("1200.40")
    assert (found["available_balance"], found["active_since_at_least"]) == (None, None)
    assert found["extra"] == '{"activeSinceAtLeast":"yesterday","currencyFundsAvailable":"1.0E3"}'


def test_a_second_word_on_the_same_thing_is_kept_and_named() -> None:
    (account,) = accounts(live(live_account(live_row(), more="<name>A</name><name>B</name><name>A</name><interest>1</interest>")))
    assert (account.account["name"], account.account["extra"]) == ("A", '{"name":"B"}')
    assert account.unknown_fields == {"account.name"}


def test_every_declared_column_is_reported_and_no_other() -> None:
    computed = {"account_id", "consent_id", "import_id", "row_version"}
    for document in (live(live_account(), cards=card()), openapi(open_account())):
        for one in accounts(document):
            assert set(one.account) == set(ACCOUNTS.names) - computed
    person = result_of(live(owners="<owner><name>A</name></owner>")).owners[0]
    assert set(person) == set(OWNERS.names) - {"consent_id", "import_id", "row_version"}


def test_owners_come_in_an_order_of_their_own_and_kinds_in_one_spelling() -> None:
    ada = "<owner><name>Ada</name><kind>OWNER</kind></owner>"
    jan = "<owner><name>Jan</name><kind>CO-OWNER</kind></owner>"
    one_way, other_way = result_of(live(owners=ada + jan)).owners, result_of(live(owners=jan + ada)).owners
    repeated = result_of(live(owners=f"{jan}</owners><owners>{ada}</owners><owners>")).owners
    assert one_way == other_way == repeated
    assert [(one["position"], one["name"], one["kind"]) for one in one_way] == [(1, "Ada", "OWNER"), (2, "Jan", "CO_OWNER")]


def test_nothing_that_a_state_numbers_a_person_by_is_kept() -> None:
    secret = "90010112345"
    names = [
        "polishPesel",
        "nationalId",
        "personalDocumentNumber",
        "personalDocumentType",
        "birthDate",
        "birthPlace",
        "citizenship",
        "nationality",
        "passportNo",
        "czechBirthNumber",
        "socialSecurityNumber",
    ]
    person = "<name>Ada</name>" + "".join(element(name, secret) for name in names)
    nested = f"<more><deep><nationalId>{secret}</nationalId><x>kept</x></deep></more>"
    document = live(
        live_account(more=f"<owners><owner>{person}</owner></owners><owner>{person}</owner>{nested}"),
        owners=f"<owner>{person}{nested}</owner>",
    )
    result = result_of(document)
    assert secret not in repr(result.owners) + repr([one.account for one in result.accounts])
    assert "kept" in repr(result.owners)
    owner = f"<owners>{person}</owners>"
    assert secret not in repr(result_of(openapi(open_account(), more=owner)).owners)


def test_the_owner_of_an_account_is_its_owners_else_the_old_text() -> None:
    def owner_name(more: str) -> object:
        return accounts(live(live_account(more=more)))[0].account["owner_name"]

    both = "<owners><owner><name>Jan</name></owner><owner><name>Ada</name></owner></owners>"
    assert owner_name(f"<owner>OLD</owner>{both}") == "Ada, Jan"
    assert owner_name("<owner>OLD</owner>") == "OLD"
    assert owner_name("<owners/>") is None


def test_rows_outside_of_any_account_are_named_and_not_loaded() -> None:
    deposits = f"<deposits><deposit><moneyTransactions>{live_row()}</moneyTransactions></deposit></deposits>"
    result = result_of(live(live_account(live_row())).replace("</result>", f"{deposits}</result>"))
    assert len(result.accounts) == 1
    assert result.unknown_fields == {"moneyTransaction outside an account", "result.deposits"}


def test_no_accounts_is_an_import_too() -> None:
    for nothing in (live(), openapi(), openapi("<accounts/>"), live().replace("<accounts></accounts>", "")):
        result = result_of(nothing)
        assert result.accounts == []
        assert result.unknown_fields == frozenset()


def test_secrets_and_people_do_not_show_in_a_repr() -> None:
    result = result_of(openapi(open_account(open_row()), more="<multipleAccessToken>ma-secret</multipleAccessToken>"))
    assert result.token == "ma-secret"
    assert "ma-secret" not in repr(result)
    assert IBAN not in repr(result)


@pytest.mark.parametrize("field", ["polishPesel", "nationalId"])
def test_an_owners_national_id_leaves_the_reader_as_its_keyed_hash_only(field: str) -> None:
    from lxml import etree

    from sources.kontomatik.accounts import read_owners

    container = etree.fromstring(
        f"<owners><owner><name>Ada Example</name><{field}>80010112345</{field}>"
        "<personalDocumentNumber>XYZ 123456</personalDocumentNumber></owner></owners>"
    )

    (owner,), unknown = read_owners([container], lambda kind, number: f"hash of a {kind} with {len(number)} signs")
    (unhashed,), _ = read_owners([container])

    assert owner["person_key"] == "hash of a person_key with 11 signs"
    assert owner["document_key"] == "hash of a document_key with 10 signs"
    assert (unhashed["person_key"], unhashed["document_key"]) == (None, None)
    assert not unknown
    assert "80010112345" not in str(owner) + str(unhashed)
