"""Who banks here, and the numbers of their accounts. All of it is made up and says so."""

from dataclasses import dataclass

from .values import czech_iban, german_iban, polish_iban


@dataclass(frozen=True, slots=True)
class Customer:
    """A person with accounts at the sandbox bank."""

    login: str
    name: str
    email: str
    national_id: str
    external_id: str


ADA = Customer("test1", "Ada Example", "ada@example.test", "00000000000", "sandbox-ada")
BEN = Customer("test2", "Ben Sample", "ben@example.test", "11111111111", "sandbox-ben")
CUSTOMERS = (ADA, BEN)

KONTIST_MAIN, KONTIST_TAX = german_iban(4711), german_iban(4712)
PLN_MAIN, PLN_SHARED, PLN_EUR = polish_iban(42), polish_iban(43), polish_iban(44)
CZK_MAIN = czech_iban(1000042)
CARD_NUMBER = "4999 **** **** 0042"
SAVINGS_NUMBER = "SAV-0001-0042"
