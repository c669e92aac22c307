"""The kind of a booked entry, in the codes that statements have for it.

Codes are given only where the bank's own word says the kind. Any other entry is a credit or a debit of no special kind. The
bank's own word stands beside the code in camt.053 (`Prtry`) and as the booking text in MT940 (`?00`).

Sources: ISO 20022 external code set of bank transaction codes (domain, family, sub-family); SWIFT MT940, field 61, subfield 6;
the German "Geschäftsvorfallcodes" (DFÜ agreement, annex 3).
"""

from dataclasses import dataclass

from pipelines.questions.statements import Entry


@dataclass(frozen=True)
class Codes:
    """Codes of an entry."""

    domain: str
    family: str
    sub_family: str
    swift: str
    """Three letters, after the `N` of field 61."""
    german: str
    """Three digits at the start of field 86."""


_KINDS = {
    "SEPA_CREDIT_TRANSFER": "transfer",
    "SEPA_TRANSFER": "transfer",
    "TRANSFER": "other transfer",
    "SEPA_CREDIT_TRANSFER_RETURN": "returned transfer",
    "SEPA_DIRECT_DEBIT": "direct debit",
    "SEPA_DIRECT_DEBIT_RETURN": "returned direct debit",
    "CARD_TRANSACTION": "card",
    "CARD_USAGE": "card",
    "CARD": "card",
    "INTEREST_ACCRUED": "interest",
    "INTEREST": "interest",
    "COMMISSION_OVERDRAFT": "fee",
}
_CREDITS = {
    "transfer": Codes("PMNT", "RCDT", "ESCT", "TRF", "166"),
    "other transfer": Codes("PMNT", "RCDT", "OTHR", "TRF", "819"),
    "returned transfer": Codes("PMNT", "ICDT", "RRTN", "RTI", "159"),
    "direct debit": Codes("PMNT", "IDDT", "ESDD", "DDT", "171"),
    "returned direct debit": Codes("PMNT", "RDDT", "UPDD", "RTI", "819"),
    "interest": Codes("ACMT", "MCOP", "INTR", "INT", "814"),
}
_DEBITS = {
    "transfer": Codes("PMNT", "ICDT", "ESCT", "TRF", "116"),
    "other transfer": Codes("PMNT", "ICDT", "OTHR", "TRF", "818"),
    "returned transfer": Codes("PMNT", "RCDT", "RRTN", "RTI", "818"),
    "direct debit": Codes("PMNT", "RDDT", "ESDD", "DDT", "105"),
    "returned direct debit": Codes("PMNT", "IDDT", "UPDD", "RTI", "109"),
    "card": Codes("PMNT", "CCRD", "POSD", "MSC", "818"),
    "interest": Codes("ACMT", "MDOP", "INTR", "INT", "814"),
    "fee": Codes("ACMT", "MDOP", "CHRG", "CHG", "808"),
}
_ANY_CREDIT = Codes("PMNT", "MCOP", "OTHR", "MSC", "819")
_ANY_DEBIT = Codes("PMNT", "MDOP", "OTHR", "MSC", "818")


def codes_of(entry: Entry) -> Codes:
    """Returns the codes of an entry, by the bank's own kind of movement and the direction of the money."""
    kind = _KINDS.get((entry.transaction_type or "").upper(), "")
    return _DEBITS.get(kind, _ANY_DEBIT) if entry.amount < 0 else _CREDITS.get(kind, _ANY_CREDIT)
