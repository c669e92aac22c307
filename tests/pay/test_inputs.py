"""What a person types is read strictly, before a bank hears of it."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import WrongUsage
from pipelines.pay import inputs


@pytest.mark.parametrize(("text", "cents"), [("12.50", 1250), ("12.5", 1250), ("12", 1200), ("0.01", 1), (" 7.00 ", 700),
                                             ("0.29", 29), ("1.10", 110), ("9999999999.99", 999999999999)])  # fmt: skip
def test_an_amount_is_exact(text: str, cents: int) -> None:
    assert inputs.cents(text) == cents


@pytest.mark.parametrize(
    "text",
    ["12,50", "1.250,00", "1,250.00", "-1", "+1", "0", "0.00", "1.001", "1e3", "", " ", "NaN", "Infinity", "١٢", "0x1", "1_0",
     "1.", ".5", "12.50 EUR", "9" * 16],
)  # fmt: skip
def test_what_is_no_plain_amount_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        inputs.cents(text)


@given(st.integers(1, 10**15 - 1))
def test_every_amount_comes_back_as_it_was_written(cents: int) -> None:
    assert inputs.cents(f"{cents // 100}.{cents % 100:02d}") == cents
    assert inputs.euros(cents).replace(",", "") == f"{Decimal(cents).scaleb(-2):.2f} EUR"


@pytest.mark.parametrize("text", ["DE89 3704 0044 0532 0130 00", "de89370400440532013000", "DE89-3704-0044-0532-0130-00"])
def test_an_iban_may_be_written_in_groups(text: str) -> None:
    assert inputs.iban(text) == "DE89370400440532013000"


@pytest.mark.parametrize(
    "text",
    ["DE89370400440532013001", "DE98370400440532013000", "DE8937040044053201300", "DE893704004405320130000", "",
     "370400440532013000", "PL1", "DE89 3704 0044 0532 0130 0O", "ＤＥ89370400440532013000", "61109010140000071219812874"],
)  # fmt: skip
def test_a_slip_in_an_iban_is_never_sent(text: str) -> None:
    with pytest.raises(WrongUsage, match="IBAN"):
        inputs.iban(text)


@given(st.integers(0, 21), st.sampled_from("0123456789"))
def test_no_single_wrong_digit_passes(place: int, digit: str) -> None:
    good = "DE89370400440532013000"
    bad = good[:place] + digit + good[place + 1 :]
    if bad != good:
        with pytest.raises(WrongUsage):
            inputs.iban(bad)


@pytest.mark.parametrize(("text", "good"), [("A", True), ("x" * 70, True), ("x" * 71, False), ("", False), ("  ", False),
                                            ("a\nb", False), ("a\tb", False), ("a\x00", False), ("Żółć", True)])  # fmt: skip
def test_a_text_fits_into_a_sepa_message(text: str, good: bool) -> None:
    if good:
        assert inputs.words(text, "recipient", 70) == text.strip()
    else:
        with pytest.raises(WrongUsage):
            inputs.words(text, "recipient", 70)


def test_a_day_that_is_over_is_refused() -> None:
    assert inputs.not_before(date(2026, 3, 2), date(2026, 3, 2), "payment") == date(2026, 3, 2)
    with pytest.raises(WrongUsage, match="2026-03-02"):
        inputs.not_before(date(2026, 3, 1), date(2026, 3, 2), "payment")


@pytest.mark.parametrize(("text", "tan"), [("012345\n", "012345"), (" 012 345 ", "012345"), ("12345", None), ("1234567", None),
                                           ("12345a", None), ("", None), ("١٢٣٤٥٦", None)])  # fmt: skip
def test_only_a_whole_tan_is_sent(text: str, tan: str | None) -> None:
    assert inputs.tan(text, 6) == tan
