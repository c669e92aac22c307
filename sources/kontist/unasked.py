"""The columns that the live service was not asked for, because it has refused their fields: there, null says nothing."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sources.kontist.queries import OBJECTS, OPTIONAL
from sources.kontist.refused_fields import FieldName

Unasked = Mapping[str, frozenset[str]]
"""Columns of one table. With names: only these parts of its JSON text were not asked for."""
WHOLE: frozenset[str] = frozenset()
NOTHING: Unasked = MappingProxyType({})

_TRANSACTION = {
    "name": "name",
    "iban": "iban",
    "purpose": "purpose",
    "e2eId": "e2e_id",
    "category": "category",
    "foreignCurrency": "foreign_currency",
    "paymentMethod": "payment_method",
    "userSelectedBookingDate": "user_selected_booking_date",
    "documentType": "document_type",
    "documentNumber": "invoice_number",
    "mandateNumber": "mandate_number",
    "originalAmount": "extra",
    "description": "description",
    "personalNote": "personal_note",
    "categoryCode": "category_code",
    "vatCategoryCode": "vat_category_code",
    "vatRate": "vat_rate",
    "categorizationType": "categorization_type",
    "recurlyInvoiceNumber": "recurly_invoice_number",
    "merchantCategoryCode": "merchant_category_code",
    "merchantCountryCode": "merchant_country_code",
    "fees": "fees",
    "splits": "splits",
}
_MAIN_ACCOUNT = {"bic": "bic", "name": "name", "availableBalance": "available_balance_cents"}
_STANDING = {"purpose": "description", "e2eId": "e2e_id", "lastExecutionDate": "last_execution_date"}
_TIMED = {"purpose": "purpose", "e2eId": "e2e_id"}
_NOT_KEPT = frozenset({("TransactionSplit", "id"), ("Transfer", "uuid")})


def unasked_columns(refused: Iterable[FieldName], *, further: bool = False) -> dict[str, Unasked]:
    """Returns by table the columns of an account that were not asked for; `further`: of an account other than the main one."""
    refused = set(refused)
    for field, kind in OBJECTS.items():
        if refused >= {one for one in OPTIONAL if one[0] == kind}:
            refused.add(("Transaction", field))
    refused -= _NOT_KEPT
    own = ("SubAccount", {"name": "name"}) if further else ("Account", _MAIN_ACCOUNT)
    return {
        "transactions": _parts(refused) | _columns(refused, "Transaction", _TRANSACTION),
        "accounts": _columns(refused, *own),
        "standing_orders": _columns(refused, "Transfer", _STANDING),
        "timed_orders": _columns(refused, "Transfer", _TIMED),
    }


def _columns(refused: set[FieldName], kind: str, columns: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Returns the columns of the refused fields; a field without a column is a part of `extra`."""
    names = {name for of, name in refused if of == kind}
    found = {columns[name]: WHOLE for name in names if name in columns}
    others = frozenset(names - columns.keys())
    return found | ({"extra": others} if others else {})


def _parts(refused: set[FieldName]) -> dict[str, frozenset[str]]:
    """Returns the columns whose objects were asked for in part, with the names that are missing in them."""
    parts = {_TRANSACTION[field]: frozenset(name for of, name in refused if of == kind) for field, kind in OBJECTS.items()}
    return {column: names for column, names in parts.items() if names}
