"""`export --format camt053|mt940|ofx`: account statements whose entries lead from the opening balance to the closing one."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lxml import etree

from pipelines.errors import Failure, WrongUsage
from pipelines.questions import camt053
from pipelines.questions.exports import FORMATS, Export, files
from pipelines.questions.statements import Selection
from pipelines.store.leftovers import remove_exports
from tests.ledger.worlds import Given, needed
from tests.ledger.worlds import built as ledger_of
from tests.questions import statement_readers as readers
from tests.questions.asked import ask, data_dir, printed_json
from tests.questions.datev_worlds import MARCH, with_seeds
from tests.questions.statement_readers import Read

ROOT = Path(__file__).parents[2]
IBAN, OTHER_IBAN = "DE89370400440532013000", "MT84MALT011000012345MTLCAST001S"
READ_AT = datetime(2026, 4, 1, 6, tzinfo=UTC)
FILES = {"camt053": "ledger.camt053.xml", "mt940": "ledger.sta", "ofx": "ledger.ofx"}
READERS: dict[str, Callable[[Path], list[Read]]] = {
    "camt053": readers.camt053_statements,
    "mt940": readers.mt940_statements,
    "ofx": readers.ofx_statements,
}
PRACTICE = "Ärzte für Łódź, Gemeinschaftspraxis am Marktplatz"
LONG = "Rechnung 4711, für Öl & Gas – naïve façade " * 12


def kontist(number: int, day: date, cents: int, **more: Any) -> dict[str, Any]:
    booked = datetime(day.year, day.month, day.day, 11, tzinfo=UTC)
    return {
        "account_id": "kontist:a",
        "source_transaction_id": str(number),
        "amount_cents": cents,
        "booking_date": booked,
        "valuta_date": booked,
        "booking_type": "SEPA_CREDIT_TRANSFER",
    } | more


def seen(account: str, **more: Any) -> dict[str, Any]:
    return {"import_id": f"i-{account}", "account_id": account, "finished_at": READ_AT} | more


ROWS = [
    kontist(1, date(2026, 2, 10), 100_000, name=PRACTICE, iban=OTHER_IBAN, purpose=LONG, e2e_id="RE-12"),
    kontist(2, date(2026, 2, 11), -4_500, booking_type="SEPA_DIRECT_DEBIT", name="Strom AG", iban="DE01", e2e_id="E//1",
            mandate_number="M-7"),
    kontist(3, date(2026, 3, 2), 4_500, booking_type="SEPA_DIRECT_DEBIT_RETURN", name="Strom AG", iban="DE01", e2e_id="E//1"),
    kontist(4, date(2026, 3, 5), -920, booking_type="CARD_TRANSACTION", name="東京 кофе ☕", original_amount_minor=1000,
            foreign_currency="USD", purpose="EREF+somebody else's"),
    kontist(5, date(2026, 3, 31), -1, booking_type=None, valuta_date=None, name="still pending"),
    kontist(6, date(2026, 3, 6), -300, memo="customer", name="cash in hand"),
    kontist(7, date(2026, 3, 31), 1, booking_type="INTEREST_ACCRUED", purpose="\x1b[31m\ufffe <b>?:-"),
]  # fmt: skip
COMPLETE: Given = {
    "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": 99_081, "bic": "KNTODE21XXX"}],
    "kontist.transactions": ROWS,
    "kontist.imports": [seen("kontist:a")],
    "kontomatik.accounts": [
        {"account_id": "kontomatik:k", "source_account_id": "k", "account_type": "card", "iban": IBAN, "balance": "-25.50",
         "currency": "EUR"},
    ],
    "kontomatik.transactions": [
        {"account_id": "kontomatik:k", "booked_on": date(2026, 3, 9), "amount": "-25.50", "balance_after": "-25.50",
         "currency": "EUR", "party": "Żabka", "kind": "CARD"},
    ],
    "kontomatik.imports": [seen("kontomatik:k")],
}  # fmt: skip
"""Two months of an account and three weeks of a card, all read after they were over."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_dir(tmp_path_factory.mktemp("stated"), COMPLETE)


def exported(folder: Path, form: str, out: Path, *more: str) -> Path:
    assert ask(folder, "export", "--format", form, "--out", str(out), *more) == 0
    return out / FILES[form]


@pytest.fixture(scope="session")
def schema() -> etree.XMLSchema:
    """The schema of ISO 20022, which is not ours to copy: it may lie in a folder `schemas` beside the checkout."""
    name = f"*/schemas/{camt053.NAMESPACE.rpartition(':')[2]}.xsd"
    found = next((path for folder in ROOT.parents for path in folder.glob(name)), None)
    if found is None:
        pytest.skip("NO SCHEMA OF CAMT.053 HERE: the document was not validated")
    return etree.XMLSchema(etree.parse(found))


def test_camt053_is_valid_by_the_schema_of_iso_20022(folder: Path, tmp_path: Path, schema: etree.XMLSchema) -> None:
    for per in ("month", "day"):
        path = exported(folder, "camt053", tmp_path, "--per", per)
        schema.assertValid(etree.parse(path))


@pytest.mark.parametrize("form", FILES)
def test_a_month_holds_the_booked_entries_between_its_balances(form: str, folder: Path, tmp_path: Path) -> None:
    found = READERS[form](exported(folder, form, tmp_path, "--from", "2026-03-01", "--to", "2026-03-31", "--account", IBAN))

    (march,) = found
    assert (march.opening, march.closing) == (Decimal("955.00"), Decimal("990.81"))
    assert sorted(march.entries) == [
        (date(2026, 3, 2), Decimal("45.00")),
        (date(2026, 3, 5), Decimal("-9.20")),
        (date(2026, 3, 31), Decimal("0.01")),
    ]


@pytest.mark.parametrize("form", ["camt053", "mt940"])
def test_each_statement_opens_with_the_balance_that_the_one_before_closed_with(form: str, folder: Path, tmp_path: Path) -> None:
    days = READERS[form](exported(folder, form, tmp_path, "--per", "day", "--account", IBAN))
    assert len(days) == 50  # 10 February to 31 March
    assert all(later.opening == earlier.closing for earlier, later in pairwise(days))

    months = READERS[form](exported(folder, form, tmp_path))
    assert [(one.opening, one.closing) for one in months] == [
        (Decimal("0.00"), Decimal("955.00")),
        (Decimal("955.00"), Decimal("990.81")),
        (Decimal("0.00"), Decimal("-25.50")),
    ]


@pytest.mark.parametrize("form", FILES)
def test_two_exports_of_one_ledger_are_equal_to_the_byte(form: str, folder: Path, tmp_path: Path) -> None:
    first = exported(folder, form, tmp_path).read_bytes()

    assert exported(folder, form, tmp_path).read_bytes() == first


def test_camt053_holds_references_parties_purpose_codes_and_reversals(folder: Path, tmp_path: Path) -> None:
    path = exported(folder, "camt053", tmp_path)
    entries = readers.camt053_entries(path)

    transfer, debit, returned, abroad, interest, card = entries
    assert (transfer["EndToEndId"], transfer["DebtorName"], transfer["DebtorIBAN"]) == ("RE-12", PRACTICE, OTHER_IBAN)
    assert "".join(transfer["RemittanceInformationFull"].split()) == "".join(LONG.split())
    assert (debit["MandateId"], debit["CreditorName"], debit["TransactionID"]) == ("M-7", "Strom AG", "2")
    assert [one["ReversalIndicator"] for one in entries] == [None, None, "true", None, None, None]
    assert returned["CreditDebitIndicator"] == "CRDT"
    codes = ("BankTransactionCode", "TransactionFamilyCode", "TransactionSubFamilyCode")
    assert [tuple(one[name] for name in codes) for one in entries] == [
        ("PMNT", "RCDT", "ESCT"),
        ("PMNT", "RDDT", "ESDD"),
        ("PMNT", "RDDT", "UPDD"),
        ("PMNT", "CCRD", "POSD"),
        ("ACMT", "MCOP", "INTR"),
        ("PMNT", "CCRD", "POSD"),
    ]
    assert interest["RemittanceInformation"] == "\\x1b[31m\ufffd <b>?:-"
    assert abroad["CreditorName"] == "東京 кофе ☕"
    assert card["AccountIBAN"] is None
    names = {"c": camt053.NAMESPACE}
    document = etree.parse(path)
    (instructed,) = document.findall(".//c:InstdAmt/c:Amt", names)
    assert (instructed.get("Ccy"), Decimal(instructed.text)) == ("USD", Decimal(10))
    assert [one.text for one in document.findall(".//c:Acct/c:Id/c:Othr/c:Id", names)] == ["kontomatik:k"]
    assert [one.text for one in document.findall(".//c:Acct//c:BICFI", names)] == ["KNTODE21XXX"] * 2
    assert [one.text for one in document.findall(".//c:TtlNtries/c:NbOfNtries", names)] == ["2", "3", "1"]
    assert [one.text for one in document.findall(".//c:ElctrncSeqNb", names)] == ["2602", "2603", "2603"]


def test_mt940_holds_references_parties_purpose_codes_and_reversals(folder: Path, tmp_path: Path, capsys: Any) -> None:
    path = exported(folder, "mt940", tmp_path, "--json")
    assert printed_json(capsys)["notes"] == ["1 entry has longer texts than MT940 allows; what does not fit is left out"]

    transfer, debit, returned, abroad, interest, card = (
        row.data for one in readers.mt940_messages(path) for row in one.transactions
    )
    assert transfer["applicant_name"] == "Aerzte fuer Lodz, Gemeinschaftspraxis am Marktplatz"
    assert (transfer["applicant_iban"], transfer["end_to_end_reference"]) == (OTHER_IBAN, "RE-12")
    assert transfer["purpose"].startswith("Rechnung 4711, fuer Oel + Gas - naive facade Rechnung")
    assert [one["transaction_code"] for one in (transfer, debit, abroad, interest, card)] == ["166", "105", "818", "814", "818"]
    assert (transfer["customer_reference"], debit["customer_reference"]) == ("RE-12", "NONREF")
    assert (debit["end_to_end_reference"], debit["additional_position_reference"]) == ("E//1", "M-7")
    assert [one["status"] for one in (debit, returned)] == ["D", "RD"]
    assert abroad["extra_details"] == "/OCMT/USD10,00"
    assert abroad["purpose"] == "EREF somebody else's"
    assert abroad["applicant_name"].split() == ["Dong", "Jing", "kofe", "."]


def assert_of_swift(path: Path) -> None:
    """Asserts that a file keeps the field rules of SWIFT, whatever the texts."""
    content = path.read_bytes()
    assert re.fullmatch(rb"[A-Za-z0-9/\-?:().,'+ \r\n]*", content)
    assert content.count(b"\n") == content.count(b"\r\n")
    for message in content.decode("ascii").split("\r\n-\r\n")[:-1]:
        for field in re.split(r"\r\n(?=:\d\d[A-Z]?:)", message):
            tag, value = re.fullmatch(r"(:\d\d[A-Z]?:)(.*)", field, re.DOTALL).groups()  # type: ignore[union-attr]
            lines = value.split("\r\n")
            assert all(line and line == line.strip() and line[0] not in ":-" for line in lines)
            match tag:
                case ":86:":
                    assert len(lines) <= 6
                    assert max(map(len, lines)) <= 65
                    code, *subfields = "".join(lines).split("?")
                    assert re.fullmatch(r"\d{3}", code)
                    limits = {"31": 36}
                    assert all(len(one) <= limits.get(one[:2], 29) for one in subfields)
                    assert {one[:2] for one in subfields} <= {"00", "31", "32", "33", *map(str, range(20, 30))}
                case ":61:":
                    assert re.fullmatch(
                        r"\d{10}(C|D|RC|RD)\d{1,12},\d{0,2}N[A-Z]{3}(?!/)[^\r\n]{1,16}(?<!/)//[0-9A-F]{16}", lines[0]
                    )
                    assert len(lines) == 1 or (len(lines) == 2 and len(lines[1]) <= 34)
                case ":60F:" | ":62F:":
                    assert re.fullmatch(r"[CD]\d{6}[A-Z]{3}\d{1,12},\d{0,2}", value)
                case ":20:" | ":21:":
                    assert re.fullmatch(r"[A-Z0-9]{1,16}", value)
                case ":28C:":
                    assert re.fullmatch(r"\d{5}/1", value)
                case _:
                    assert tag == ":25:"
                    assert len(value) <= 35


def test_mt940_keeps_the_field_rules_of_swift(folder: Path, tmp_path: Path) -> None:
    assert_of_swift(exported(folder, "mt940", tmp_path))


# ---- Periods that are not complete


@pytest.mark.parametrize("form", FILES)
def test_a_period_that_is_not_complete_is_refused_by_name_and_writes_nothing(form: str, folder: Path, tmp_path: Path) -> None:
    chosen = ("--from", "2026-04-01", "--to", "2026-04-01", "--account", IBAN)
    with pytest.raises(Failure, match=r"Not complete: Kontist .*3000 EUR, 2026-04-01 \(2026-04-01: read last at"):
        exported(folder, form, tmp_path, *chosen)
    assert list(tmp_path.iterdir()) == []

    path = exported(folder, form, tmp_path, *chosen, "--allow-incomplete")
    assert "INCOMPLETE" in path.read_text(encoding="utf-8")
    assert READERS[form](path) == [Read(Decimal("990.81"), Decimal("990.81"))]


def test_each_format_says_where_its_readers_look_that_it_is_incomplete(folder: Path, tmp_path: Path) -> None:
    chosen = ("--from", "2026-03-31", "--to", "2026-04-01", "--allow-incomplete", "--account", IBAN)

    (stated,) = etree.parse(exported(folder, "camt053", tmp_path, *chosen)).findall(".//{*}AddtlStmtInf")
    assert stated.text == "INCOMPLETE: 2026-04-01: read last at 2026-04-01 06:00 UTC, before the day was over"
    _, message = readers.mt940_messages(exported(folder, "mt940", tmp_path, *chosen))
    assert message.data["related_reference"] == "INCOMPLETE"
    status = readers.ofx(exported(folder, "ofx", tmp_path, *chosen)).bankmsgsrsv1[0].status
    assert (status.severity, status.message[:12]) == ("WARN", "INCOMPLETE: ")


def test_entries_that_do_not_lead_to_the_closing_balance_are_refused_always(tmp_path: Path) -> None:
    # 119.00, then 11.45 went out on a day that nobody knows, then 0.20
    given: Given = {
        "kontomatik.accounts": [{"currency": "PLN", "balance": "107.35", "iban": "PL61109010140000071219812874"}],
        "kontomatik.transactions": [
            {"booked_on": date(2026, 1, 30), "amount": "-1.00", "balance_after": "119.00"},
            {"booked_on": date(2026, 2, 3), "amount": "-0.20", "balance_after": "107.35"},
        ],
        "kontomatik.imports": [seen("kontomatik:a")],
    }
    folder = data_dir(tmp_path, given)
    for more in ([], ["--allow-incomplete"]):
        with pytest.raises(Failure, match=r"would be wrong: .*, 2026-02-01 to 2026-02-28 \(its entries do not lead"):
            exported(folder, "camt053", tmp_path / "out", *more)

    with pytest.raises(Failure, match=r"Not complete: .*-11\.45 PLN moved at the bank"):
        exported(folder, "mt940", tmp_path / "out", "--to", "2026-01-31")
    (before,) = READERS["mt940"](exported(folder, "mt940", tmp_path / "out", "--to", "2026-01-31", "--allow-incomplete"))
    assert (before.opening, before.closing) == (Decimal("120.00"), Decimal("119.00"))


def test_accounts_without_a_balance_or_without_days_are_named(tmp_path: Path, capsys: Any) -> None:
    given = COMPLETE | {
        "kontomatik.accounts": [{"account_id": "kontomatik:n", "currency": "PLN", "balance": None, "iban": "PL3"}],
        "kontomatik.transactions": [{"account_id": "kontomatik:n", "booked_on": date(2026, 3, 9), "amount": "-1.00"}],
        "kontomatik.imports": [seen("kontomatik:n")],
    }
    folder = data_dir(tmp_path, given)

    exported(folder, "camt053", tmp_path / "out", "--json")
    assert printed_json(capsys)["notes"] == ["A bank …PL3 PLN is not in the file: its balance is not known"]
    with pytest.raises(Failure, match="has no statement: its balance is not known"):
        exported(folder, "camt053", tmp_path / "out", "--account", "kontomatik:n")


def test_an_amount_of_more_than_fifteen_characters_is_refused_by_mt940_alone(tmp_path: Path) -> None:
    given: Given = {
        "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": 10**14}],
        "kontist.transactions": [kontist(1, date(2026, 3, 9), 10**14)],
        "kontist.imports": [seen("kontist:a")],
    }
    folder = data_dir(tmp_path, given)
    with pytest.raises(Failure, match="more than 15 characters"):
        exported(folder, "mt940", tmp_path / "out")

    assert exported(folder, "camt053", tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ledger.camt053.xml"]


def test_an_erasure_finds_the_file_of_each_format(tmp_path: Path) -> None:
    folder = data_dir(tmp_path, COMPLETE)
    with_seeds(folder)
    for form in FORMATS:
        assert ask(folder, "export", "--format", form, *(MARCH if form == "datev" else ())) == 0
    exports = list((folder / "export").iterdir())
    assert {path.name for path in exports} >= set(FILES.values())

    assert remove_exports(folder) == len(exports)


def test_days_can_be_chosen_of_statements_only(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="--format csv writes the whole ledger"):
        ask(folder, "export", "--format", "csv", "--from", "2026-03-01")
    with pytest.raises(WrongUsage, match="OFX has one statement an account"):
        ask(folder, "export", "--format", "ofx", "--per", "day")


# ---- Any ledger

FIRST = date(2026, 1, 5)
TABLES = (
    "accounts",
    "balances_daily",
    "closed_month_changes",
    "coverage",
    "holes",
    "imports",
    "postings",
    "seeds",
    "transactions",
    "transaction_details",
)
NEEDED = needed(*(f"ledger.{table}" for table in TABLES))
TEXTS = st.text(max_size=80) | st.text(alphabet="a ?:-/+\n{}'", max_size=400)


@st.composite
def movements(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draws rows of an account: days within ten weeks, amounts, any texts."""
    drawn = draw(
        st.lists(st.tuples(st.integers(0, 70), st.integers(-99_999, 99_999), TEXTS, TEXTS, TEXTS), min_size=12, max_size=25)
    )
    return [
        kontist(number, FIRST + timedelta(days=day), cents, name=name, purpose=purpose, e2e_id=reference, iban=name[:40])
        for number, (day, cents, name, purpose, reference) in enumerate(drawn)
    ]


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make a failing ledger smaller takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(drawn=movements(), opening=st.integers(-50_000, 50_000))
def test_readers_find_the_ledgers_count_sum_and_balances(drawn: list[dict[str, Any]], opening: int, tmp_path: Path) -> None:
    balance = opening + sum(row["amount_cents"] for row in drawn)
    world: Given = {
        "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": balance}],
        "kontist.transactions": drawn,
        "kontist.imports": [seen("kontist:a")],
    }
    expected = Counter((row["booking_date"].date(), Decimal(row["amount_cents"]) / 100) for row in drawn)
    with ledger_of(world, NEEDED) as connection:
        connection.execute("use ledger; create table about as select now() as published_at")
        for form, read in READERS.items():
            for per in ("month", "day") if form != "ofx" else (None,):
                found = read(written(connection, form, tmp_path, Selection(last=date(2026, 3, 31), per=per)))
                assert found[0].opening == Decimal(opening) / 100
                assert found[-1].closing == Decimal(balance) / 100
                assert Counter(entry for one in found for entry in one.entries) == expected
                if form != "camt053":  # its reader does not say which entry is of which statement
                    assert all(one.opening + sum(amount for _, amount in one.entries) == one.closing for one in found)
        assert_of_swift(tmp_path / FILES["mt940"])


def written(connection: duckdb.DuckDBPyConnection, form: str, folder: Path, selection: Selection) -> Path:
    notes: list[str] = []
    (path,) = files(connection, form, Export(folder, notes.append, selection))
    return path
