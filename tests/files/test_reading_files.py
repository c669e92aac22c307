"""Files of account statements: what is read exactly, and what is refused by name."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest

from sources.files import csv_rows, detection
from sources.files.detection import Hints
from sources.files.statements import Statement, joined
from sources.files.values import Entry, FileRefused
from tests.files.bank_files import (
    IBAN,
    MAPPING,
    OTHER_IBAN,
    Row,
    Stated,
    balance,
    camt053,
    csv,
    monthly,
    mt940,
    ntry,
    stated,
    stmt,
)

D = Decimal
ROWS: list[Row] = [
    (date(2025, 1, 7), D("100.00"), "Miete"),
    (date(2025, 1, 7), D("-5.00"), "Kaffee"),
    (date(2025, 1, 7), D("-5.00"), "noch ein Kaffee"),
    (date(2025, 2, 3), D("-1234.56"), "Rechnung 7"),
    (date(2025, 3, 31), D("0.01"), "Zinsen"),
]
MONTHS = monthly(ROWS, date(2025, 1, 1), date(2025, 3, 31), D("50.00"))
JANUARY = MONTHS[0]


def read(text: str, written: str = "utf-8", **hints: str) -> list[Statement]:
    return joined(detection.read(text.encode(written), Hints(**hints)).pages)


def said(entries: list[Entry]) -> list[Row]:
    return [(one.booked_on, one.amount, one.description or "") for one in entries]


@pytest.mark.parametrize("write", [camt053, mt940])
def test_statements_are_read_with_their_days_balances_and_entries(write: "type[camt053]") -> None:
    found = read(write(*MONTHS))

    assert [(one.first, one.last, one.opening, one.closing) for one in found] == [
        (one.first, one.last, one.opening, one.closing) for one in MONTHS
    ]
    assert [row for one in found for row in said(one.entries)] == ROWS
    assert all(later.opening == earlier.closing for earlier, later in pairwise(found))


@pytest.mark.parametrize("write", [camt053, mt940])
def test_statements_are_read_in_any_order_of_the_file(write: "type[camt053]") -> None:
    assert [one.first for one in read(write(*reversed(MONTHS)))] == [one.first for one in MONTHS]


def test_every_version_of_camt053_is_read() -> None:
    old = camt053(JANUARY, version="02").replace("<Sts><Cd>BOOK</Cd></Sts>", "<Sts>BOOK</Sts>")

    assert [said(one.entries) for one in read(old)] == [said(one.entries) for one in read(camt053(JANUARY))]


def test_camt053_gives_parties_references_reversals_and_kinds() -> None:
    details = (
        "<RvslInd>true</RvslInd><AcctSvcrRef>B-1</AcctSvcrRef><BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RDDT</Cd>"
        "<SubFmlyCd>UPDD</SubFmlyCd></Fmly></Domn></BkTxCd>"
        "<NtryDtls><TxDtls><Refs><EndToEndId>E-1</EndToEndId><MndtId>M-1</MndtId></Refs><RltdPties><Dbtr><Pty><Nm>Strom AG</Nm>"
        f"</Pty></Dbtr><DbtrAcct><Id><IBAN>{OTHER_IBAN}</IBAN></Id></DbtrAcct></RltdPties>"
        f"<RmtInf><Ustrd>{'x' * 140}</Ustrd><Ustrd>yz</Ustrd><Ustrd>Ende</Ustrd></RmtInf></TxDtls></NtryDtls>"
    )
    document = camt053(Stated(date(2025, 1, 1), date(2025, 1, 2), D(0))).replace(
        "</Stmt>", ntry(date(2025, 1, 2), D("4.00"), more=details) + ntry(date(2025, 1, 2), D("-4.00"), "zurück") + "</Stmt>"
    )

    (one,) = read(document)

    entry, after = one.entries
    assert (entry.counterparty_name, entry.counterparty_iban) == ("Strom AG", OTHER_IBAN)
    assert (entry.end_to_end_id, entry.mandate_number, entry.reference) == ("E-1", "M-1", "B-1")
    assert (entry.is_reversal, entry.transaction_type) == (True, "PMNT-RDDT-UPDD")
    assert entry.description == "x" * 140 + "yz Ende"
    assert entry.place == "statement 1, entry 1"
    assert (after.description, after.end_to_end_id, after.is_reversal) == ("zurück", None, False)


def test_a_batch_is_one_entry_and_what_is_not_booked_is_left_out() -> None:
    batch = "<NtryDtls><TxDtls/><TxDtls/><TxDtls/></NtryDtls><AddtlNtryInf>Sammler</AddtlNtryInf>"
    document = camt053(Stated(date(2025, 1, 1), date(2025, 1, 2), D(0))).replace(
        "</Stmt>",
        ntry(date(2025, 1, 2), D("4.00"), more=batch)
        + ntry(date(2025, 1, 2), D("-4.00"))
        + ntry(date(2025, 1, 2), D("9.00"), status="PDNG")
        + "</Stmt>",
    )
    (page,) = detection.read(document.encode(), Hints()).pages

    assert [one.description for one in page.entries] == ["Sammler batch of 3 payments", None]
    assert page.left_out == 1


def test_mt940_gives_parties_references_and_takes_a_reversal_by_its_direction() -> None:
    text = (
        ":20:X\r\n:25:DE89370400440532013000EUR\r\n:28C:1\r\n:60F:C241230EUR10,\r\n"
        ":61:2501021231RC4,00NDDT1234567890//BANKREF\r\n/OCMT/USD5,00\r\n"
        ":86:109?00RUECKLASTSCHRIFT?20EREF+E-1 mit Blank?21MREF+M-1?22SVWZ+Strom Janu?23ar?31DE01?32Strom AG Ber?33lin\r\n"
        ":61:250102D3,00NMSCNONREF\r\n:86:Freier Text des Hauses\r\nzweite Zeile\r\n"
        ":62F:C250102EUR3,\r\n:86:Hinweise der Bank\r\n-\r\n"
    )

    (one,) = read(text)

    taken, free = one.entries
    assert (taken.amount, taken.is_reversal, taken.booked_on, taken.value_on) == (
        D(-4),
        True,
        date(2024, 12, 31),
        date(2025, 1, 2),
    )
    assert (taken.description, taken.end_to_end_id, taken.mandate_number) == ("Strom Januar", "E-1 mit Blank", "M-1")
    assert (taken.counterparty_name, taken.counterparty_iban) == ("Strom AG Berlin", "DE01")
    assert (taken.transaction_type, taken.reference) == ("RUECKLASTSCHRIFT", "BANKREF")
    assert (free.description, free.transaction_type, free.booked_on) == (
        "Freier Text des Hauses zweite Zeile",
        "NMSC",
        date(2025, 1, 2),
    )
    assert one.closing == D("3.00")


def test_pages_of_a_statement_are_joined_in_their_order() -> None:
    whole = mt940(JANUARY).splitlines()
    first_page = [*whole[:6], ":62M:C250107EUR150,00", "-"]
    second_page = [":20:STARTUMS", whole[1], ":28C:00001/002", ":60M:C250107EUR150,00", *whole[6:]]

    (one,) = read("\r\n".join([*first_page, *second_page]))
    assert (said(one.entries), one.closing) == (JANUARY.rows, JANUARY.closing)
    for odd in ([*second_page, *first_page], second_page, first_page):
        with pytest.raises(FileRefused, match="page"):
            read("\r\n".join(odd))


def test_a_statement_that_begins_within_a_day_is_joined_with_the_one_before() -> None:
    morning = Stated(date(2025, 1, 7), date(2025, 1, 7), D("50.00"), ROWS[:1])
    evening = f"<Stmt><Id>2</Id><Acct><Id><IBAN>{IBAN}</IBAN></Id></Acct>{balance('OPBD', D('150.00'), date(2025, 1, 7))}"
    evening += balance("CLBD", D("140.00"), date(2025, 1, 7)) + "".join(ntry(*row) for row in ROWS[1:3]) + "</Stmt>"

    (day,) = read(camt053(morning).replace("</BkToCstmrStmt>", f"{evening}</BkToCstmrStmt>"))

    assert (day.first, day.last, day.opening, day.closing) == (date(2025, 1, 7), date(2025, 1, 7), D("50.00"), D("140.00"))
    assert said(day.entries) == ROWS[:3]


@pytest.mark.parametrize("write", [camt053, mt940])
def test_a_statement_that_leads_back_to_its_balance_and_stands_there_twice_is_refused(write: "type[camt053]") -> None:
    rows = [(date(2025, 1, 7), D("5.00"), "in"), (date(2025, 1, 9), D("-5.00"), "out")]
    whole = Stated(date(2025, 1, 1), date(2025, 1, 31), D(0), rows)
    other_texts = Stated(whole.first, whole.last, D(0), [(day, amount, f"{text} again") for day, amount, text in rows])

    for second, why in ((whole, "repeats statement 1"), (other_texts, "one may repeat the other")):
        with pytest.raises(FileRefused, match=why):
            read(write(whole, second))


def test_the_day_of_the_opening_balance_is_whole_only_where_an_entry_was_booked_on_it() -> None:
    opened = camt053(JANUARY).replace("PRCD", "OPBD").replace("<Dt>2024-12-31</Dt>", "<Dt>2025-01-07</Dt>")
    quiet = opened.replace("<Dt>2025-01-07</Dt></Dt></Bal>", "<Dt>2025-01-05</Dt></Dt></Bal>")
    dated = quiet.replace(
        "<Acct>", "<FrToDt><FrDtTm>2025-01-01T00:00:00</FrDtTm><ToDtTm>2025-02-02T23:59:59</ToDtTm></FrToDt><Acct>"
    )

    assert [(one.first, one.last) for text in (opened, quiet, dated) for one in read(text)] == [
        (date(2025, 1, 7), date(2025, 1, 31)),
        (date(2025, 1, 6), date(2025, 1, 31)),
        (date(2025, 1, 1), date(2025, 2, 2)),
    ]


def test_csv_is_read_by_its_mapping_the_oldest_entry_first() -> None:
    mapping = csv_rows.mapping_of(MAPPING)
    document = detection.read(csv(ROWS).encode("cp1252"), Hints(mapping=mapping))

    (one,) = joined(document.pages)
    assert said(one.entries) == ROWS
    assert (one.first, one.last, one.opening) == (date(2025, 1, 7), date(2025, 3, 31), None)
    assert one.entries[0].place == "line 7"

    whole = Hints(mapping=mapping, period=csv_rows.Period(date(2025, 1, 1), date(2025, 4, 5)))
    (one,) = joined(detection.read(csv(ROWS).encode("cp1252"), whole).pages)
    assert (one.first, one.last) == (date(2025, 1, 1), date(2025, 4, 5))


def test_csv_with_two_columns_of_amounts_takes_each_by_its_side() -> None:
    text = 'day,in,out\n2025-01-07,"1,100.00",\n2025-01-08,,5.00\n2025-01-09,,-6.00\n'
    mapping = csv_rows.mapping_of('delimiter = ","\ndecimal = "."\n[columns]\nbooked_on = "day"\ncredit = "in"\ndebit = "out"\n')

    (one,) = joined(csv_rows.read(text.encode(), mapping, csv_rows.Period()).pages)

    assert [entry.amount for entry in one.entries] == [D("1100.00"), D("-5.00"), D("-6.00")]
    for odd, why in {
        "2025-01-07,1.00,2.00": "both a credit and a debit",
        "2025-01-07,,": "neither a credit nor a debit",
        "2025-01-07,-1.00,": "a credit with a minus",
        '2025-01-07,"1,10",': "its amount is none",
        "2025-01-07,1.005,": "its amount is none",
        "07.01.2025,1.00,": "a date is not written",
        "2025-01-07,1.00": "2 fields",
    }.items():
        with pytest.raises(FileRefused, match=f"(?i)line 2.*{why}"):
            csv_rows.read(f"day,in,out\n{odd}\n".encode(), mapping, csv_rows.Period())


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ("", "columns"),
        ("[columns]\nbooked_on = 'a'\n", "either `amount`"),
        ("[columns]\nbooked_on = 'a'\namount = 'b'\nkredit = 'c'\n", "kredit"),
        ("encoding = 'klingon'\n[columns]\nbooked_on = 'a'\namount = 'b'\n", "klingon"),
        ("delimiter = ';;'\n[columns]\nbooked_on = 'a'\namount = 'b'\n", "delimiter"),
        ("decimal = ';'\n[columns]\nbooked_on = 'a'\namount = 'b'\n", "decimal"),
        ("=", "mapping cannot be read"),
        ("encoding = 'undefined'\n[columns]\nbooked_on = 'a'\namount = 'b'\n", "mapping cannot be read"),
        ("encoding = \"a\\u0000b\"\n[columns]\nbooked_on = 'a'\namount = 'b'\n", "mapping cannot be read"),
        ("skip_lines = -1\n[columns]\nbooked_on = 'a'\namount = 'b'\n", "skip_lines"),
        (f"skip_lines = {10**20}\n[columns]\nbooked_on = 'a'\namount = 'b'\n", "skip_lines|mapping cannot be read"),
        ("date_format = '%d.%m.'\n[columns]\nbooked_on = 'a'\namount = 'b'\n", "date_format"),
        ("date_format = '%d.%d.%Y'\n[columns]\nbooked_on = 'a'\namount = 'b'\n", "date_format"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(mapping: str, why: str) -> None:
    with pytest.raises(FileRefused, match=why):
        csv_rows.mapping_of(mapping)


def test_a_csv_file_without_the_columns_of_its_mapping_is_refused() -> None:
    mapping = csv_rows.mapping_of("[columns]\nbooked_on = 'day'\namount = 'sum'\n")
    for heading, why in {"day;amount": "no column `sum`", "day;sum;sum": "more than one column `sum`"}.items():
        with pytest.raises(FileRefused, match=why):
            csv_rows.read(f"{heading}\n".encode(), mapping, csv_rows.Period())


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
OUTSIDE = '<!DOCTYPE x SYSTEM "file:///etc/passwd">'
SUMMARY = "<TxsSummry><TtlNtries><NbOfNtries>4</NbOfNtries></TtlNtries></TxsSummry>"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (camt053(JANUARY).replace(HEAD, HEAD + BOMB).replace("Miete", "&c;"), "document type"),
        (camt053(JANUARY).replace(HEAD, HEAD + OUTSIDE), "document type"),
        (camt053(JANUARY)[:-200], "broken or cut off"),
        (camt053(JANUARY).replace('encoding="UTF-8"', 'encoding="IBM037"'), "encoding|broken"),
        (camt053(JANUARY).replace("camt.053.001.08", "camt.052.001.08"), "camt.052"),
        (camt053(JANUARY).replace("camt.053.001.08", "pain.001.001.09"), "no camt.053"),
        ("<html><body>Anmelden</body></html>", "no camt.053"),
        (camt053(), "no account statement"),
        (camt053(JANUARY).replace(">100.00<", ">100.01<", 1), "does not add up"),
        (camt053(JANUARY).replace(">100.00<", ">1e2<", 1).replace("1e2", "100.001"), "parts of a cent"),
        (camt053(JANUARY).replace(">100.00<", ">NaN<", 1), "amount"),
        (camt053(JANUARY).replace(">100.00<", ">-100.00<", 1), "sign"),
        (camt053(JANUARY).replace(">100.00<", ">99999999999999999999.00<", 1), "too many digits"),
        (camt053(JANUARY).replace('<Ntry><Amt Ccy="EUR">', '<Ntry><Amt Ccy="USD">', 1), "in USD"),
        (camt053(JANUARY).replace("<Cd>BOOK</Cd>", "<Cd>DONE</Cd>", 1), "status"),
        (camt053(JANUARY).replace("<BookgDt><Dt>2025-01-07</Dt></BookgDt>", "", 1), "no booking date"),
        (camt053(JANUARY).replace("<BookgDt><Dt>2025-01-07<", "<BookgDt><Dt>2025-02-30<", 1), "no day"),
        (camt053(JANUARY).replace("<BookgDt><Dt>2025-01-07<", "<BookgDt><Dt>2024-12-07<", 1), "outside of it"),
        (camt053(JANUARY).replace("CLBD", "CLAV"), "no closing"),
        (camt053(JANUARY).replace("PRCD", "FWAV"), "no opening"),
        (camt053(JANUARY).replace("<Acct>", f"{SUMMARY}<Acct>"), "summary"),
        (camt053(JANUARY, JANUARY).replace("<Id>2</Id>", "<Id>1</Id>"), "repeats statement 1"),
        (camt053(JANUARY, stated(ROWS, date(2025, 1, 5), date(2025, 2, 5), D(7))), "overlap"),
        (mt940(JANUARY).rpartition(":62F:")[0], "no balance of field 62"),
        (mt940(JANUARY).partition(":25:")[2], "before the first field|neither"),
        (mt940(JANUARY).replace("C100,00", "C100,01"), "does not add up"),
        (mt940(JANUARY).replace("C100,00", "X100,00"), "field 61"),
        (mt940(JANUARY).replace(":61:250107", ":61:251307"), "no day"),
        (mt940(JANUARY).replace("250131EUR", "250131USD"), "EUR and USD"),
        (mt940(JANUARY).replace(":28C:", ":99X:"), "field 99X"),
        (mt940(JANUARY, JANUARY), "repeats statement 1"),
        ("Buchungstag;Betrag\n", "neither CAMT.053 nor MT940"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_exactly_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(FileRefused, match=why) as refused:
        read(text)

    assert not {"1234", IBAN, "Miete"} & set(str(refused.value).split())


def test_another_encoding_is_never_guessed() -> None:
    foreign = mt940(Stated(date(2025, 1, 1), date(2025, 1, 7), D(0), [(date(2025, 1, 7), D(1), "Öl")]))

    with pytest.raises(FileRefused, match="not ASCII or UTF-8"):
        read(foreign, "iso-8859-1")
    assert read(foreign, "iso-8859-1", encoding="iso-8859-1")[0].entries[0].description == "Öl"
    assert read(foreign)[0].entries[0].description == "Öl"
    latin = camt053(Stated(date(2025, 1, 1), date(2025, 1, 7), D(0), [(date(2025, 1, 7), D(1), "Öl")]))
    assert read(latin.replace("UTF-8", "ISO-8859-1"), "iso-8859-1")[0].entries[0].description == "Öl"


def test_a_statement_without_entries_covers_its_days() -> None:
    (one,) = read(camt053(Stated(date(2025, 1, 1), date(2025, 1, 31), D(5))))
    (same,) = read(mt940(Stated(date(2025, 1, 1), date(2025, 1, 31), D(5))))

    assert (
        (one.first, one.last, one.closing) == (same.first, same.last, same.closing) == (date(2025, 1, 1), date(2025, 1, 31), D(5))
    )


def test_two_accounts_of_a_file_stay_apart() -> None:
    document = camt053(JANUARY).replace("</BkToCstmrStmt>", f"{stmt(MONTHS[1], iban=OTHER_IBAN)}</BkToCstmrStmt>")

    assert [page.number for page in detection.read(document.encode(), Hints()).pages] == [IBAN, OTHER_IBAN]
