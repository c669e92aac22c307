"""Files that somebody has altered, cut, inflated or only badly written: read right, or refused by name with nothing changed."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import Failure
from sources.files import camt053, csv_rows, detection
from sources.files.camt053 import _MOST_ELEMENTS
from sources.files.detection import Hints
from sources.files.statements import joined
from sources.files.values import FileRefused, money
from tests.files import bank_files
from tests.files.bank_files import IBAN, MAPPING, ONE_DAY, Stated, csv, mt940, ntry, stated, stmt
from tests.files.scene import FIRST, LAST, OPENING, WORLD, D, written
from tests.questions.asked import ask
from tests.support import rows

DAY = date(2025, 1, 7)
ONE = Stated(date(2025, 1, 1), date(2025, 1, 31), D(50), [(DAY, D("100.00"), "Miete"), (DAY, D("-5.00"), "Kaffee")])
WHOLE = bank_files.camt053(ONE)
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
LAUGHS = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
LAUGHS = f'<!DOCTYPE Document [<!ENTITY l0 "ha">{LAUGHS}]>'


def amounts(content: bytes, **hints: Any) -> list[Decimal]:
    return [entry.amount for one in joined(detection.read(content, Hints(**hints)).pages) for entry in one.entries]


@pytest.mark.parametrize(
    "content",
    [
        WHOLE.replace(HEAD, HEAD + LAUGHS).replace("Miete", "&l9;").encode(),
        WHOLE.replace(HEAD, HEAD + LAUGHS).replace("<Document ", '<Document x="&l9;" ').encode(),
        WHOLE.replace(HEAD, f'{HEAD}<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>').replace("Miete", "&f;").encode(),
        WHOLE.replace(HEAD, f'{HEAD}<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]>').encode(),
        WHOLE.replace("UTF-8", "UTF-16").replace("\n", f"\n{LAUGHS}", 1).replace("Miete", "&l9;").encode("utf-16"),
    ],
)
def test_no_entity_is_expanded_and_nothing_is_loaded(content: bytes) -> None:
    with pytest.raises(FileRefused, match=r"document type|broken or cut off"):
        detection.read(content, Hints())


def test_junk_between_the_entries_and_within_one_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _MOST_ELEMENTS > 10_000 * 60, "a batch of ten thousand payments is no junk"
    monkeypatch.setattr(camt053, "_MOST_ELEMENTS", 1000)
    payments = "<NtryDtls>" + "<TxDtls><Refs/></TxDtls>" * 450 + "</NtryDtls>"
    batch = WHOLE.replace("</Ntry></Stmt>", "</Ntry>" + ntry(DAY, D(0), more=payments) + "</Stmt>")
    assert len(amounts(batch.encode())) == 3

    for junk in (WHOLE.replace("<Acct>", "<x/>" * 1001 + "<Acct>"), batch.replace("<Refs/>", "<Refs/>" * 3)):
        with pytest.raises(FileRefused, match="more beside its entries, or in one of them"):
            detection.read(junk.encode(), Hints())


def test_many_entries_are_no_junk() -> None:
    many = [(DAY, D("0.01"), "")] * 3000

    assert sum(amounts(bank_files.camt053(Stated(ONE.first, ONE.last, D(0), many)).encode())) == D("30.00")


def test_nesting_and_texts_without_an_end_are_refused() -> None:
    deep = WHOLE.replace("Miete", "<a>" * 5000 + "</a>" * 5000)
    for content in (deep, WHOLE.replace("Miete", "x" * 11_000_000)):
        with pytest.raises(FileRefused, match="broken or cut off"):
            detection.read(content.encode(), Hints())
    lines = mt940(ONE).replace(":86:166", ":86:" + "x\r\n" * 100_000 + "166", 1)
    with pytest.raises(FileRefused, match=r"statement 1, entry 1: its text is longer than any bank's"):
        detection.read(lines.encode(), Hints())


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "LARGEST", 1 << 20)
    (tmp_path / "large.xml").write_text(WHOLE + " " * (1 << 20))

    with pytest.raises(FileRefused, match="It is larger than 1 MiB"):
        detection.content_of(tmp_path / "large.xml")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (WHOLE.replace("Miete", "Öl").encode("iso-8859-1"), "broken or cut off"),
        (WHOLE.encode("utf-16-le")[1:], "neither|broken"),
        (WHOLE.replace("2025-01-31", "9999-12-31").encode(), "statement 1 has a day of the year 9999"),
        (WHOLE.replace("2024-12-31", "0001-01-01").encode(), "statement 1 has a day of the year 1"),
        (WHOLE.replace(">100.00<", ">1_00.00<").encode(), "its amount is not a number"),
        (WHOLE.replace(">100.00<", ">1e2<").encode(), "its amount is not a number"),
        (WHOLE.replace(">100.00<", ">١٠٠<").encode(), "its amount is not a number"),
        (WHOLE.replace("</Stmt>", "<Ntry/></Stmt>").encode(), "its status is none of"),
        (WHOLE.replace("</BkToCstmrStmt>", f"{ntry(DAY, D(1))}</BkToCstmrStmt>").encode(), "does not add up"),
        (bank_files.camt053(ONE, ONE).replace("<Id>2</Id>", "<Id>3</Id>").encode(), "statement 2 repeats statement 1"),
        (bank_files.camt053(ONE, Stated(DAY, ONE.last, D(999), [(DAY, D(1), "x")])).encode(), "overlap"),
        (mt940(ONE).replace(":62F:", ":86:").encode(), "no balance of field 62"),
        (mt940(ONE).replace(":62F:C", ":62F:D").encode(), "does not add up"),
        (mt940(ONE).replace("C100,00", "C-100,00").encode(), "field 61"),
        (mt940(ONE).encode("utf-16"), "neither|not ASCII"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(FileRefused, match=why):
        amounts(content)


@pytest.mark.parametrize("encoding", ["klingon", "hex"])
def test_an_encoding_that_is_none_is_refused(encoding: str) -> None:
    with pytest.raises(FileRefused, match=f"no encoding {encoding}"):
        amounts(mt940(ONE).encode(), encoding=encoding)
    with pytest.raises(FileRefused, match="mapping cannot be read"):
        csv_rows.mapping_of(f'encoding = "{encoding}"\n{MAPPING.partition("cp1252")[2][2:]}')


@pytest.mark.parametrize(("text", "value"), [("100", 100), ("100.", 100), (".5", "0.5"), (" 7.10 ", "7.1"), ("+3.00", 3)])
def test_an_amount_is_a_number_as_xml_has_it(text: str, value: Any) -> None:
    assert money(text, "here") == D(str(value))


CSV = (
    "\ufeffBuchungstag;Name;Betrag;Währung\r\n"
    '07.01.2025;"Muster; ""Erben"" \u2028 GmbH";"1.234,56";EUR\r\n'
    "06.01.2025;x;-1.000;EUR\r\n"
)
CSV_MAPPING = """
encoding = "utf-8"
date_format = "%d.%m.%Y"
[columns]
booked_on = "Buchungstag"
amount = "Betrag"
currency = "Währung"
counterparty_name = "Name"
"""


def of_csv(text: str, more: str = "", **named: str) -> list[Any]:
    mapping = csv_rows.mapping_of(more + CSV_MAPPING.replace("utf-8", named.get("encoding", "utf-8")))
    document = csv_rows.read(text.encode(named.get("encoding", "utf-8")), mapping, csv_rows.Period())
    return [(one.booked_on, one.amount, one.counterparty_name) for one in document.pages[0].entries]


def test_csv_with_a_mark_of_its_encoding_quotes_and_thousands_is_read_to_the_cent() -> None:
    wanted = [(date(2025, 1, 6), D("-1000.00"), "x"), (DAY, D("1234.56"), 'Muster; "Erben" \u2028 GmbH')]

    assert of_csv(CSV) == wanted
    assert of_csv(CSV.removeprefix("\ufeff"), encoding="utf-16") == wanted
    assert of_csv("\ufeffKonto \x85 \u2028 1\r\n\r\n" + CSV.removeprefix("\ufeff"), "skip_lines = 2\n") == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (CSV + "Buchungstag;Name;Betrag;Währung\r\n", "line 4: a date is not written"),
        (CSV.replace("Name;", "Betrag;"), "more than one column `Betrag`"),
        (CSV.replace("1.234,56", "1,234.56"), "line 2: its amount is none with `,`"),
        (CSV.replace("1.234,56", "12.34,56"), "line 2: its amount is none"),
        (CSV.replace("1.234,56", "1234,5678"), "line 2: its amount is none"),
        (CSV.replace("1.234,56", "1.234,56-"), "line 2: its amount is none"),
        (CSV.replace("1.234,56", "(1.234,56)"), "line 2: its amount is none"),
        (CSV.replace('GmbH"', "GmbH"), "is no CSV|fields"),
        (CSV.replace("x;-1.000;EUR", "x;-1.000;USD"), "entries in 2 currencies"),
        (CSV.replace("07.01.2025", "31.02.2025"), "line 2: a date is not written"),
        ("\ufeff", "no column"),
    ],
)
def test_csv_that_is_not_as_its_mapping_says_is_refused_by_line(text: str, why: str) -> None:
    with pytest.raises(FileRefused, match=why):
        of_csv(text)


def test_statements_of_two_currencies_become_two_accounts_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    dollars = Stated(ONE.first, ONE.last, D(7), [(DAY, D("-7.00"), "x")])
    both = WHOLE.replace("</BkToCstmrStmt>", f"{stmt(dollars, 2, IBAN, 'USD')}</BkToCstmrStmt>")
    wrong = both.replace(">7.00<", ">7.01<", 1)

    with pytest.raises(Failure, match="statement 2 does not add up"):
        ask(folder, "import", written(folder, wrong), "--new", "--name", "Bank")
    assert not (folder / "raw.duckdb").exists()
    assert ask(folder, "import", written(folder, both), "--new", "--name", "Bank") == 0

    assert rows(folder, "select currency, balance from accounts order by 1") == [("EUR", D("145.00")), ("USD", D("0.00"))]


def test_another_balance_than_that_of_an_earlier_file_is_refused_though_its_entries_are_the_same(connected: Path) -> None:
    until = date(2024, 12, 31)
    year = stated(WORLD, FIRST, until, OPENING)
    assert ask(connected, "import", written(connected, bank_files.camt053(year), "a"), "--account", "3000") == 0
    before = (connected / "raw.duckdb").read_bytes()

    for name, odd, day in (
        ("b", Stated(FIRST, until, OPENING + 1, year.rows), FIRST - ONE_DAY),
        ("c", stated(WORLD, until + ONE_DAY, LAST, OPENING + 1), until),
    ):
        path = written(connected, mt940(odd), name)
        with pytest.raises(Failure, match=f"statement 1 has another balance at the end of {day} than an earlier file"):
            ask(connected, "import", path, "--account", "3000", "--accept-differences")

    assert (connected / "raw.duckdb").read_bytes() == before
    again = stated(WORLD, until + ONE_DAY, LAST, OPENING)
    assert ask(connected, "import", written(connected, mt940(again), "d"), "--account", "3000") == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_statement_within_another_one_is_refused_where_its_balance_is_not_what_the_other_leads_to(
    order: tuple[int, int], connected: Path
) -> None:
    until = date(2024, 12, 31)
    part = stated(WORLD, date(2024, 6, 1), date(2024, 6, 30), OPENING)
    odd = Stated(part.first, part.last, part.opening + 1, part.rows)
    texts = [bank_files.camt053(stated(WORLD, FIRST, until, OPENING)), bank_files.camt053(odd)]
    paths = [written(connected, texts[number], f"{number}.xml") for number in order]
    assert ask(connected, "import", paths[0], "--account", "3000") == 0

    with pytest.raises(Failure, match=r"statement 1 has another balance at the end of 2024-0[56]-3[01] than an earlier file"):
        ask(connected, "import", paths[1], "--account", "3000")

    undone = rows(connected, "select file_id from imported_files")[0][0]
    assert ask(connected, "import", "--undo", undone) == 0
    assert ask(connected, "import", paths[1], "--account", "3000") == 0


def test_a_csv_file_is_no_statement_whatever_stands_in_its_texts() -> None:
    mapping = csv_rows.mapping_of(MAPPING)
    odd = csv([(DAY, D("10.00"), "=HYPERLINK(1) \x1b[31m :20: <Document>")])

    (page,) = detection.read(odd.encode("cp1252"), Hints(mapping=mapping)).pages

    assert [one.amount for one in page.entries] == [D("10.00")]
