"""Answers that mean harm, or are not what they should be: refused, in bounded memory, without a word of what they hold."""

import itertools
import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources._errors import Unexpected
from sources.kontomatik.reply import read_reply
from sources.kontomatik.safe_xml import guarded, small_document
from tests.reading_kontomatik.fake_bank import (
    IBAN,
    Kept,
    in_pieces,
    live,
    live_account,
    live_row,
    open_account,
    open_row,
    openapi,
    read,
    rejected_of,
    rows_of,
)

BOMB = (
    '<!DOCTYPE reply [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in itertools.pairwise("abcdefghij"))
    + "]>"
)
FILE = '<!DOCTYPE reply [<!ENTITY file SYSTEM "file:///etc/hostname">]>'
HOST = '<!DOCTYPE reply SYSTEM "http://192.0.2.1/evil.dtd">'
PARAMETER = '<!DOCTYPE reply [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>'


def refused(body: str | bytes) -> str:
    with pytest.raises(Unexpected) as caught:
        read(body)
    text = str(caught.value)
    assert IBAN not in text
    assert "moneyTransaction" not in text
    return text


@pytest.mark.parametrize("doctype", [BOMB, FILE, HOST, PARAMETER, "<!DOCTYPE reply>", "<!doctype reply>"])
@pytest.mark.parametrize("before", ["", '<?xml version="1.0"?>\n', "\ufeff", "<!-- <reply> --> <?pi <reply>?>\n"])
def test_a_document_type_is_refused_before_anything_in_it_is_read(doctype: str, before: str) -> None:
    assert "carries a document type" in refused(before + doctype + live(live_account(live_row(more="<title>&j;</title>"))))


def test_a_document_type_is_refused_byte_by_byte_too() -> None:
    body = (BOMB + live(live_account(live_row()))).encode()
    with pytest.raises(Unexpected, match="document type"):
        read_reply((body[at : at + 1] for at in range(len(body))), Kept)


def test_a_comment_may_speak_of_a_document_type() -> None:
    assert read("<!-- <!DOCTYPE x> -->" + live()).state == "done"


def test_an_entity_that_nobody_declared_is_broken_xml() -> None:
    assert "broken or cut off XML (line 1)" in refused(live(live_account(live_row(more="<title>&nope;</title>"))))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_an_encoding_that_hides_the_check_is_refused(encoding: str) -> None:
    assert "not UTF-8" in refused((FILE + live()).encode(encoding))


@pytest.mark.parametrize("name", ["UTF-7", "UTF-16", "ISO-8859-2", "EBCDIC-CP-US", "windows-1250"])
def test_a_declared_encoding_other_than_utf_8_is_refused(name: str) -> None:
    assert "not UTF-8" in refused(f"<?xml version='1.0' encoding='{name}'?>" + live())


@pytest.mark.parametrize("declared", ['encoding="UTF-8"', "encoding='utf-8'", 'encoding="utf8" standalone="yes"', ""])
def test_utf_8_is_read_with_or_without_a_word_about_it(declared: str) -> None:
    reply = read(f'<?xml version="1.0" {declared}?>' + live(live_account(live_row(more="<title>Żółć</title>"))))
    assert reply.result is not None
    assert rows_of(reply.result.accounts[0])[0]["title"] == "Żółć"


@pytest.mark.parametrize(
    "page",
    [
        "<!DOCTYPE html><html><body>IBAN</body></html>",
        "<!doctype HTML PUBLIC '-//W3C//DTD HTML 4.01//EN'><html>",
        "<html><h1>We will be back soon</h1>",
        "<HTML><br></HTML>",
        "\n <!-- x --><html xmlns='http://www.w3.org/1999/xhtml'/>",
    ],
)
def test_a_web_page_is_called_one(page: str) -> None:
    assert "answered with a web page. Check the setting sources.kontomatik.base_url" in refused(page)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("<", "breaks off"),
        ("<?xml version='1.0'", "breaks off"),
        ("<!-- ", "breaks off"),
        ("<reply", "breaks off"),
        ("OK", "is not XML"),
        ('{"status": "x"}', "JSON where XML"),
        ("<other/>", "XML of another kind"),
        ("<reply>&#0;</reply>", "line 1"),
        ("<reply></reply><reply></reply>", "line 1"),
        ("<!ELEMENT a>", "is not XML"),
        ("<?x " + "y" * 70_000, "does not begin like XML"),
    ],
)
def test_anything_but_an_answer_is_refused_by_name(body: str, said: str) -> None:
    assert said in refused(body)


def test_a_cut_off_answer_names_the_line_and_loads_nothing() -> None:
    body = live("\n".join(live_account(live_row(), currency=currency) for currency in ("PLN", "EUR", "USD"))).encode()
    spools: list[Kept] = []

    def new_spool() -> Kept:
        spools.append(Kept())
        return spools[-1]

    for end in range(1, len(body) - 1, 7):
        with pytest.raises(Unexpected) as caught:
            read_reply([body[:end]], new_spool, batch=1)
        assert IBAN not in str(caught.value)
    assert spools
    assert all(spool.cleared and not spool.batches for spool in spools)


def test_an_answer_has_a_largest_size() -> None:
    with pytest.raises(Unexpected, match="larger than 500 bytes"):
        read_reply([live(live_account(*[live_row()] * 9)).encode()], Kept, largest=500)


def test_elements_nested_without_end_are_refused() -> None:
    assert "line 1" in refused("<reply>" + "<a>" * 100_000)


def test_one_endless_text_is_refused() -> None:
    assert "line 1" in refused(live(live_account(live_row(more=f"<title>{'x' * 11_000_000}</title>"))))


def test_small_answers_take_the_same_care() -> None:
    with pytest.raises(Unexpected, match="document type"):
        small_document(BOMB.encode() + b"<reply/>")
    assert b"".join(guarded([b"<re", b"", b"ply/>"])) == b"<reply/>"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.booleans())
def test_an_answer_reads_the_same_in_whatever_pieces_it_arrives(seed: int, longest: int, is_live: bool) -> None:
    history = [f"2031-03-{day:02d}" for day in (9, 9, 8, 7, 3)]
    more = "<title>Żółć &amp; co</title><new>1</new>"
    if is_live:
        body = live(live_account(*(live_row(day, more=more) for day in history), live_row(amount="x")), state="successful")
    else:
        body = openapi(open_account(*(open_row(day, more=more) for day in history), open_row(amount="x")))
    body = f"\ufeff<?xml version='1.0'?>\n<!-- x -->{body}"
    dice = random.Random(seed)  # noqa: S311  (repeatable, and no secret)
    whole, parted = read(body), read_reply(in_pieces(body.encode(), lambda: dice.randint(1, longest)), Kept)
    assert whole.result is not None
    assert parted.result is not None
    for one, other in zip(whole.result.accounts, parted.result.accounts, strict=True):
        assert (one.account, one.account_id, one.unknown_fields) == (other.account, other.account_id, other.unknown_fields)
        assert rows_of(one) == rows_of(other)
        assert rejected_of(one) == rejected_of(other)


@pytest.mark.parametrize("wrapped", [True, False])
def test_memory_is_one_batch_whatever_the_history_is_long(wrapped: bool) -> None:
    class Counting(Kept):
        count = 0

        def add(self, rows: object) -> None:
            self.count += rows.num_rows  # type: ignore[attr-defined]

    def document(rows: int) -> Iterator[bytes]:
        yield b"<CommandResult><id>1</id><status>COMPLETED</status><accounts><number>PL45999900010000000000004242</number>"
        yield b"<currency>PLN</currency>" + (b"<transactions>" if wrapped else b"")
        for _ in range(rows // 100):
            yield open_row(more=f"<description>{'d' * 50}</description>").encode() * 100
        yield (b"</transactions>" if wrapped else b"") + b"</accounts></CommandResult>"

    def peak(rows: int) -> int:
        tracemalloc.start()
        reply = read_reply(document(rows), Counting, batch=1000)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert reply.result is not None
        assert getattr(reply.result.accounts[0].spool, "count", 0) == rows
        return found

    peak(1000)
    assert peak(12_000) < 1.5 * peak(3_000)
