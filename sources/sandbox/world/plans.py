"""The accounts as the bank opened them, and the habits that fill them.

Amounts are minor units of the account's currency.
"""

from dataclasses import dataclass
from typing import Literal

from .people import (
    ADA,
    BEN,
    CARD_NUMBER,
    CZK_MAIN,
    KONTIST_MAIN,
    KONTIST_TAX,
    PLN_EUR,
    PLN_MAIN,
    PLN_SHARED,
    SAVINGS_NUMBER,
    Customer,
)
from .values import czech_iban, german_iban, polish_iban

Bank = Literal["kontist", "kontomatik"]


@dataclass(frozen=True, slots=True)
class Habit:
    """A kind of recurring payment.

    `key` seeds its amounts: two habits with one key, one going `out` and one coming in, are the two ends of a
    transfer. `on` is a day of the month (on the Friday before, at a weekend); 0 means any day, by `chance` in 1024.
    A booking follows the payment after `lag` days; until then a `card` payment is shown as pending.
    """

    key: str
    party: str | None
    low: int
    high: int
    out: bool = True
    on: int = 0
    chance: int = 0
    description: str | None = None
    party_iban: str | None = None
    kind: str | None = None
    labels: tuple[str, ...] = ()
    card: bool = False
    lag: tuple[int, int] = (0, 0)
    times: int = 1
    twins: int = 0
    """Chance in 1024 that the same payment is made a second time that day."""
    foreign: tuple[str, int] | None = None
    """Currency paid in, and its price in hundredths of the account's currency."""
    ratio: int = 100
    """What the account moves for 100 minor units drawn: an exchange between own accounts in two currencies."""
    category: str | None = None
    mandate: str | None = None
    invoice: bool = False
    symbol: bool = False
    order: Literal["standing", "timed"] | None = None
    splits: tuple[tuple[str, int], ...] = ()
    """Categories to which the customer divides each payment, and how many hundredths of it each takes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One account or card as the bank opened it. `opening` is its balance before the first day, in minor units."""

    bank: Bank
    slot: int
    name: str
    currency: str
    opening: int
    habits: tuple[Habit, ...]
    iban: str | None = None
    number: str | None = None
    kind: Literal["account", "card"] = "account"
    owners: tuple[Customer, ...] = (ADA,)
    limit: int = 0


CARD, CREDIT, DEBIT = "CARD_TRANSACTION", "SEPA_CREDIT_TRANSFER", "SEPA_DIRECT_DEBIT"
OWN = ("own transfer",)

# A habit takes a line or two; a line for each argument would hide the people in them.
# fmt: off
_FREELANCE = (
    Habit("coffee", "Kaffeehaus Muster; Berlin; DE", 290, 690, chance=1024, kind=CARD, card=True, lag=(1, 2), twins=24),
    Habit("software", "Example Cloud; Dublin; IE", 900, 9900, chance=60, kind=CARD, card=True, lag=(1, 2),
          category="VAT_19"),
    Habit("swiss-trip", "Bergbahn Beispiel; Bern; CH", 1200, 8800, chance=60, kind=CARD, card=True, lag=(1, 2),
          foreign=("CHF", 107)),
    Habit("us-tools", "Sample Tools Inc; Springfield; US", 500, 20000, chance=40, kind=CARD, card=True, lag=(1, 2),
          foreign=("USD", 92), category="REVERSE_CHARGE"),
    Habit("customer-a", "Beispiel GmbH", 80000, 420000, out=False, chance=50, description="Rechnung {number}",
          party_iban=german_iban(100), kind=CREDIT, category="VAT_19", invoice=True),
    Habit("customer-b", "Muster & Söhne KG", 25000, 95000, out=False, chance=40, description="RE {number} <Projekt>",
          party_iban=german_iban(101), kind=CREDIT, category="VAT_19", invoice=True),
    Habit("office", "Musterhaus Verwaltung", 65000, 65000, on=1, description="Büromiete {month}",
          party_iban=german_iban(102), kind=CREDIT, order="standing"),
    Habit("donation", "Verein Beispiel e.V.", 2500, 2500, on=10, description="Spende", party_iban=german_iban(103),
          kind=CREDIT, order="standing"),
    Habit("phone", "Telefon Muster AG", 2999, 3999, on=7, description="Mobilfunk {month}", party_iban=german_iban(104),
          kind=DEBIT, mandate="M-000104", splits=(("VAT_19", 70), ("PRIVATE", 30))),
    Habit("insurance", "Muster Versicherung AG", 11850, 11850, on=3, description="Beitrag {month}",
          party_iban=german_iban(105), kind=DEBIT, mandate="M-000105"),
    Habit("bookkeeper", "Steuerbüro Beispiel", 18000, 36000, on=18, description="Honorar {month}",
          party_iban=german_iban(106), kind=CREDIT, order="timed"),
    Habit("returned", "Muster & Söhne KG", 4900, 4900, out=False, chance=4, description="Rücklastschrift {number}",
          party_iban=german_iban(101), kind="SEPA_DIRECT_DEBIT_RETURN"),
    Habit("own-tax", ADA.name, 40000, 90000, on=25, description="Steuerrücklage {month}", party_iban=KONTIST_TAX,
          kind=CREDIT, category="TAX_SAVING"),
    Habit("own-pay", ADA.name, 100000, 160000, on=26, description="Privat {month}", party_iban=PLN_EUR, kind=CREDIT,
          category="PRIVATE"),
)

_TAXES = (
    Habit("own-tax", ADA.name, 40000, 90000, out=False, on=25, description="Steuerrücklage {month}",
          party_iban=KONTIST_MAIN, kind=CREDIT, category="TAX_SAVING"),
    Habit("vat", "Finanzamt Musterstadt", 20000, 60000, on=11, description="USt {month}", party_iban=german_iban(110),
          kind=DEBIT, mandate="M-000110", category="VAT_PAYMENT"),
    Habit("interest", None, 1, 99, out=False, on=28, kind="INTEREST_ACCRUED"),
)

_PLN_DAILY = (
    Habit("tram", "PRZEWOZY PRZYKŁADOWE SA", 340, 1490, chance=1024, description="BILET {number}   TESTOWO",
          kind="PŁATNOŚĆ KARTĄ", labels=("public transport", "monthly"), card=True, lag=(1, 1), twins=40),
    Habit("market", "SKLEP TESTOWY", 1500, 22000, chance=330, description="ZAKUPY {number}", kind="Płatność kartą",
          labels=("groceries",), card=True, lag=(0, 1), twins=16),
    Habit("salary", "Przykład Sp. z o.o.", 820000, 840000, out=False, on=27, description="WYNAGRODZENIE {month}",
          party_iban=polish_iban(200), kind="PRZELEW PRZYCHODZĄCY",
          labels=("salary", "regular wage", "monthly", "compensation")),
    Habit("rent", "Wspólnota Testowa", 240000, 240000, on=5, description="CZYNSZ {month}", party_iban=polish_iban(201),
          kind="PRZELEW WYCHODZĄCY", labels=("rent", "monthly"), lag=(0, 1)),
    Habit("deposit", None, 35000, 35000, out=False, on=12, description="WPŁATA", times=2, lag=(1, 1)),
    Habit("paris", "Café Exemple", 900, 12000, chance=40, description="KARTA {number} PARIS", kind="PŁATNOŚĆ KARTĄ",
          labels=("travel", "restaurants"), card=True, lag=(1, 1), foreign=("EUR", 430)),
    Habit("own-card", ADA.name, 140000, 190000, on=20, description="SPŁATA KARTY {month}", kind="PRZELEW WŁASNY",
          labels=OWN),
    Habit("own-saving", ADA.name, 50000, 80000, on=28, description="OSZCZĘDNOŚCI {month}",
          kind="PRZELEW WŁASNY", labels=OWN),
    Habit("own-home", ADA.name, 150000, 150000, on=2, description="NA DOM {month}", party_iban=PLN_SHARED,
          kind="PRZELEW WŁASNY", labels=OWN),
    Habit("own-exchange", ADA.name, 10000, 25000, on=15, description="WYMIANA {month}", party_iban=PLN_EUR,
          kind="WYMIANA WALUT", labels=OWN, ratio=430),
)

_PLN_SHARED = (
    Habit("own-home", ADA.name, 150000, 150000, out=False, on=2, description="NA DOM {month}", party_iban=PLN_MAIN,
          kind="PRZELEW WŁASNY", labels=OWN, lag=(0, 1)),
    Habit("ben-home", BEN.name, 150000, 150000, out=False, on=2, description="NA DOM {month}",
          party_iban=polish_iban(300), kind="PRZELEW PRZYCHODZĄCY"),
    Habit("energy", "Energia Przykładowa SA", 18000, 42000, on=14, description="FV {number}",
          party_iban=polish_iban(301), kind="Polecenie zapłaty", labels=("utilities", "monthly")),
    Habit("groceries", "SKLEP TESTOWY", 2500, 18000, chance=480, description="ZAKUPY {number}", kind="Płatność kartą",
          labels=("groceries", "household"), card=True, lag=(0, 1), twins=16),
)

_EUR = (
    Habit("own-pay", ADA.name, 100000, 160000, out=False, on=26, description="PRIVAT {month}", party_iban=KONTIST_MAIN,
          kind="PRZELEW SEPA", labels=OWN, lag=(1, 1)),
    Habit("own-exchange", ADA.name, 10000, 25000, out=False, on=15, description="WYMIANA {month}", party_iban=PLN_MAIN,
          kind="WYMIANA WALUT", labels=OWN),
    Habit("hotel", "Hotel Exemple & Fils", 6000, 38000, chance=90, description="HOTEL {number}", kind="PŁATNOŚĆ KARTĄ",
          labels=("travel",), card=True, lag=(1, 1)),
    Habit("flat", "Sample Landlord BV", 70000, 70000, on=4, description="HUUR {month}", party_iban=german_iban(400),
          kind="PRZELEW SEPA", labels=("rent",), lag=(0, 1)),
)

_CZK = (
    Habit("lunch", "Jídelna Vzor", 11000, 24900, chance=560, description="Platba kartou {number}",
          kind="Platba kartou", labels=("restaurants",), card=True, lag=(1, 1), twins=16),
    Habit("wage", "Vzorová firma s.r.o.", 2800000, 3100000, out=False, on=10, description="Mzda {month}",
          party_iban=czech_iban(2000100), kind="Příchozí úhrada", labels=("salary", "monthly"), symbol=True),
    Habit("lease", "Vzorový dům", 1450000, 1450000, on=16, description="Nájem {month}", party_iban=czech_iban(2000200),
          kind="Odchozí úhrada", labels=("rent", "monthly"), symbol=True, lag=(0, 1)),
    Habit("fee", None, 4900, 4900, on=28, description="Poplatek"),
)

_SAVINGS = (
    Habit("own-saving", ADA.name, 50000, 80000, out=False, on=28, description="OSZCZĘDNOŚCI {month}",
          party_iban=PLN_MAIN, kind="PRZELEW WŁASNY", labels=OWN, lag=(0, 1)),
    Habit("capital", None, 120, 990, out=False, on=28, description="KAPITALIZACJA ODSETEK", lag=(1, 1)),
    Habit("surprise", "Przykład Sp. z o.o.", 10000, 90000, out=False, chance=20, description="PREMIA {number}"),
)

_CREDIT_CARD = (
    Habit("own-card", ADA.name, 140000, 190000, out=False, on=20, description="SPŁATA KARTY {month}",
          party_iban=PLN_MAIN, kind="SPŁATA", labels=OWN, lag=(1, 1)),
    Habit("online", "Sklep Internetowy Test", 1900, 16000, chance=440, description="ZAKUP {number}", kind="ZAKUP",
          labels=("shopping",), card=True, lag=(1, 1), twins=16),
    Habit("fuel", "Stacja Przykład", 12000, 32000, chance=110, description="PALIWO {number}", kind="ZAKUP",
          labels=("fuel", "car"), card=True, lag=(1, 1)),
    Habit("vienna", "Wiener Beispiel", 800, 9000, chance=30, description="ZAKUP {number} WIEN", kind="ZAKUP",
          labels=("travel",), card=True, lag=(1, 1), foreign=("EUR", 430)),
)
# fmt: on

PLANS = (
    Plan("kontist", 0, "Kontist", "EUR", 0, _FREELANCE, KONTIST_MAIN, "4711"),
    Plan("kontist", 1, "Kontist Steuern", "EUR", 0, _TAXES, KONTIST_TAX, "4712"),
    Plan("kontomatik", 0, "Konto Start", "PLN", 1200000, _PLN_DAILY, PLN_MAIN),
    Plan("kontomatik", 1, "Konto Wspólne", "PLN", 650000, _PLN_SHARED, PLN_SHARED, owners=(ADA, BEN)),
    Plan("kontomatik", 2, "Konto Walutowe", "EUR", 320000, _EUR, PLN_EUR),
    Plan("kontomatik", 3, "Běžný účet", "CZK", 4500000, _CZK, CZK_MAIN),
    Plan("kontomatik", 4, "Konto Oszczędnościowe", "PLN", 1000000, _SAVINGS, None, SAVINGS_NUMBER),
    Plan("kontomatik", 5, "Visa Test", "PLN", -400000, _CREDIT_CARD, PLN_MAIN, CARD_NUMBER, "card", limit=2500000),
)
