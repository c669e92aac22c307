"""How amounts and a bank's texts are written on the page."""

import re
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report_page import wording
from tests.house.hostile import HOSTILE, steering
from tests.patience import patient

AMOUNTS = st.decimals("-99999999999999.99", "99999999999999.99", places=2)


@given(AMOUNTS)
def test_an_amount_is_written_to_the_cent(amount: Decimal) -> None:
    assert Decimal(wording.money(amount).replace(",", "")) == amount


@given(st.text() | st.sampled_from(list(HOSTILE.values())))
def test_a_text_of_a_bank_is_one_short_line(text: str) -> None:
    shown = wording.text(text * 50)

    assert not steering(shown)
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= wording.LONGEST * len("\\U000e0041")


@pytest.mark.parametrize("before", ["", "to ", "IBAN", "AB12x ", "Konto: "])
@pytest.mark.parametrize("after", ["", " thanks 4711", "x", " DE"])
@pytest.mark.parametrize(
    "number",
    [
        *("DE90999999990000004711", "DE90 9999 9999 0000 0047 11", "de90999999990000004711", "NL91ABNA0417164300"),
        *("GB82 WEST 1234 5698 7654 32", "4999 1234 5678 0042", "61109010140000071219812874"),
    ],
)
def test_of_an_account_number_only_the_end_stays(before: str, number: str, after: str) -> None:
    shown = wording.text(f"{before}{number}{after}")
    signs = re.sub(r"\W", "", number)

    assert signs[:-4] not in re.sub(r"\W", "", shown)
    assert shown == f"{before}…{signs[-4:]}{after}"


@pytest.mark.parametrize(
    "text", ["Honorar 12/2026", "AB12 SOME WORDS WITH DIGITS 12", "E-40245739132", "2026-11-30 12:30", "№ 5"]
)
def test_what_is_no_account_number_stays(text: str) -> None:
    assert wording.text(text) == text


def test_what_looks_like_many_account_numbers_costs_little() -> None:
    began = time.process_time()
    for _ in range(100):
        wording.text("DE90" * 2500)

    assert time.process_time() - began < patient(1)


@pytest.mark.parametrize("text", ["Việt Nam", "Vie\u0323\u0302t", "שָׁלוֹם", "ก็น้ำ", "हिन्दी", "ï" * 200])
def test_letters_keep_the_marks_of_their_language(text: str) -> None:
    assert wording.text(text) == text


def test_of_many_marks_on_a_letter_a_few_stay() -> None:
    tower = "\u0301\u0489"

    assert wording.text(f"Z{tower * 40}x, A{tower * 5000}") == f"Z{tower * 2}…x, A{tower * 2}…"
