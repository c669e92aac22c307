"""Says which rows of Kontist's live service are no movements at the bank: memos, which are kept outside every balance.

`source` says who made a row. The balance that the bank reports is that of the rows of Solaris, the bank behind Kontist (inferred
from the vendor's client and schema). The others are records: cash that the customer typed in, an entry of Kontist's own staff.
A few kinds (`type`) are events on a card, which move nothing whoever reported them (names of the vendor's client).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

BANK_ROWS = "SOLARIS"
"""The `source` of movements at the bank."""
MADE_BY = {"USER": "customer", "BACKOFFICE_MANUAL": "staff"}
"""Values of `source` that make a row a memo, and who made it."""
EVENTS = frozenset({"FAILED_CARD_USAGE", "VERIFICATION_CODE"})
"""Kinds of rows that are events and no bookings."""
REASONS = frozenset({"customer", "staff", "event"})
"""All values of the column `memo`."""
MOVEMENTS = frozenset(
    {
        *("ATM", "CANCELLATION_BOOKING", "CANCELLATION_CARD_TRANSACTION", "CANCELLATION_CHARGE", "CANCELLATION_DIRECT_DEBIT"),
        *("CANCELLATION_DOUBLE_BOOKING", "CANCELLATION_INTEREST_ACCRUED", "CANCELLATION_SEPA_CREDIT_TRANSFER_RETURN"),
        *("CANCELLATION_SEPA_DIRECT_DEBIT_RETURN", "CANCEL_MANUAL_LOAD", "CARD_TRANSACTION", "CARD_USAGE"),
        *("CASH_ATM_REVERSAL", "CASH_MANUAL", "CASH_MANUAL_REVERSAL", "CHARGE", "COMMISSION_OVERDRAFT", "CREDIT_PRESENTMENT"),
        *("CREDIT_TRANSFER_CANCELLATION", "CURRENCY_TRANSACTION_CANCELLATION", "ChargeRecallRequest"),
        *("CorrectionCardTransaction", "CorrectionNostro", "CorrectionSEPACreditTransfer", "DEBIT_PRESENTMENT"),
        *("DEPOSIT_FEE", "DIRECT_DEBIT", "DIRECT_DEBIT_AUTOMATIC_TOPUP", "DIRECT_DEBIT_RETURN", "DISPUTE_CLEARING"),
        *("DISPUTE_TRANSACTION", "EXTERNAL_TRANSACTION", "EXTERNAL_TRANSACTION_CASH", "FORCE_POST_TRANSACTION"),
        *("FOREIGN_PAYMENT", "INTEREST_ACCRUED", "INTERNAL_TRANSFER", "INTERNATIONAL_CREDIT_TRANSFER"),
        *("INTRA_CUSTOMER_TRANSFER", "InterestExcessDeposit", "InterestOverdraft", "InterestOverdraftExceeded"),
        *("MANUAL_LOAD", "OCT", "OTHER", "PURCHASE_REVERSAL", "REBOOKING", "RebookedSEPACreditTransferReturn"),
        *("RebookedSEPADirectDebitCoreReturn", "ReimbursementCustomer", "SEPAInstantCreditTransfer", "SEPA_CREDIT_TRANSFER"),
        *("SEPA_CREDIT_TRANSFER_RETURN", "SEPA_DIRECT_DEBIT", "SEPA_DIRECT_DEBIT_RETURN", "TRANSFER"),
        *("TRANSFER_TO_BANK_ACCOUNT", "Target2CreditTransfer1", "Target2CreditTransfer2", "WIRE_TRANSFER_TOPUP"),
    }
)
"""Kinds of rows that the vendor's client knows beside the events. Another one is a movement, too, and is reported."""
_NAME = re.compile(r"\w{1,60}", re.ASCII)


def memo(sent: Mapping[str, Any]) -> str | None:
    """Returns why a row is no movement at the bank (one of `REASONS`); None where it is one.

    A row without `source`, or with one that nobody has described, is a movement: left out of the balance by mistake, money would
    be missing where nobody looks, while a row too many contradicts the balance that the bank reports.
    """
    source = sent.get("source")
    if isinstance(source, str) and source in MADE_BY:
        return MADE_BY[source]
    kind = sent.get("type")
    return "event" if isinstance(kind, str) and kind in EVENTS else None


def undescribed(nodes: Iterable[Any]) -> frozenset[str]:
    """Returns the kinds and sources of movements that nobody has described, as `type NAME` and `source NAME`."""
    found = set()
    for node in nodes:
        if isinstance(node, dict) and memo(node) is None:
            kind, source = node.get("type"), node.get("source")
            found |= {f"type {_shown(kind)}"} if kind not in (None, "") and not _is_one(kind, MOVEMENTS) else set()
            found |= {f"source {_shown(source)}"} if source not in (None, "", BANK_ROWS) else set()
    return frozenset(found)


def _is_one(value: Any, of: frozenset[str]) -> bool:
    return isinstance(value, str) and value in of


def _shown(value: Any) -> str:
    """Returns a name as it is, and anything else as `another`: it may be any text."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else "another"
