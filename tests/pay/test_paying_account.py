"""From which account a payment is made."""

import pytest

from pipelines.errors import WrongUsage
from pipelines.pay.paying import chosen
from sources.kontist.accounts import Account

# ---- from which account


def an_account(number: str, iban: str) -> Account:
    return Account(f"kontist:{number}", number, {"iban": iban})


ACCOUNTS = [an_account("4711", "DE89 3704 0044 0532 0130 00"), an_account("4712", "DE33100110012626008537")]


@pytest.mark.parametrize("name", ["4711", "kontist:4711", "DE89370400440532013000", "de89 3704 0044 0532 0130 00", "3000"])
def test_an_account_is_named_in_any_of_its_ways(name: str) -> None:
    assert chosen(ACCOUNTS, name).source_account_id == "4711"


@pytest.mark.parametrize("name", [None, "", "00", "DE", "9999", "4713"])
def test_an_account_that_is_not_named_for_certain_is_asked_for(name: str | None) -> None:
    with pytest.raises(WrongUsage, match="--from"):
        chosen(ACCOUNTS, name)


def test_the_only_account_needs_no_name() -> None:
    assert chosen(ACCOUNTS[:1], None).source_account_id == "4711"
