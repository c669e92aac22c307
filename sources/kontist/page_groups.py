"""Several pages of transactions as columns at once: most of the work on a page is the same for one row as for a thousand.

Only rows in the documented form, with values of the documented kinds, are read here. Anything else is refused for the group, and
its pages are read one by one (`rows`), where a row that cannot be understood is named.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter

import msgspec
import pyarrow as pa

from sources._columns import DAY, INSTANT, TEXT, WHOLE
from sources.kontist.columns import LATER
from sources.kontist.rows import SCHEMA, TEXTS, Rows, read_rows
from sources.kontist.values import LARGEST_CENTS, berlin_day, instant, original_minor


class _Row(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """One transaction in the documented form, with values of the documented kinds."""

    id: int
    amount: int
    booking_date: str
    type: str | None = None
    category: str | None = None
    name: str | None = None
    iban: str | None = None
    purpose: str | None = None
    e2e_id: str | None = None
    valuta_date: str | None = None
    booking_type: str | None = None
    original_amount: str | None = None
    foreign_currency: str | None = None
    payment_method: str | None = None
    invoice_number: int | str | None = None
    user_selected_booking_date: str | None = None
    document_type: str | None = None
    mandate_number: str | None = None
    invoice_preview_url: str | None = None  # not stored: signed links that change at every read
    invoice_download_url: str | None = None


_FIELDS = _Row.__struct_fields__
_values_of = attrgetter(*_FIELDS)
_decoder = msgspec.json.Decoder(list[_Row])


def read_pages(bodies: Sequence[bytes | msgspec.Raw], source_account_id: str) -> list[Rows]:
    """Returns what `read_rows` makes of the bodies: of all of them, or of the first only if they cannot be read at once."""
    return (_read_together(bodies) if len(bodies) > 1 else None) or [read_rows(bodies[0], source_account_id)]


def _read_together(bodies: Sequence[bytes | msgspec.Raw]) -> list[Rows] | None:
    """Returns the pages, None where one of them is not exactly as documented."""
    try:
        pages = [_decoder.decode(body) for body in bodies]
        rows = [row for page in pages for row in page]
        if not rows:
            return None
        sent = dict(zip(_FIELDS, zip(*map(_values_of, rows), strict=True), strict=True))
        booked, valued = list(map(instant, sent["booking_date"])), _optional(instant, sent["valuta_date"])
        original = _optional(original_minor, sent["original_amount"])
        selected = _optional(instant, sent["user_selected_booking_date"])
        if None in booked or None in (valued, original, selected) or not _are_cents(sent["amount"]):
            return None
        ids, days = list(map(str, sent["id"])), [berlin_day(one) for one in booked if one is not None]
        columns = {name: pa.array(sent[name], TEXT) for name in TEXTS if name != "invoice_number"} | {
            "source_transaction_id": pa.array(ids, TEXT),
            "window_on": pa.array(days, DAY),
            "amount_cents": pa.array(sent["amount"], WHOLE),
            "booking_date": pa.array(booked, INSTANT),
            "valuta_date": pa.array(valued, INSTANT),
            "original_amount_minor": pa.array(original, WHOLE),
            "user_selected_booking_date": pa.array(selected, INSTANT),
            "invoice_number": pa.array([None if one is None else str(one) for one in sent["invoice_number"]], TEXT),
            **{name: pa.nulls(len(rows), TEXT) for name in ("extra", *LATER)},
        }
    except (msgspec.DecodeError, UnicodeError, RecursionError, OverflowError, pa.ArrowException):
        return None
    batch = pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
    read, start = [], 0
    for page in pages:
        end = start + len(page)
        read.append(Rows(batch.slice(start, len(page)), tuple(ids[start:end]), tuple(days[start:end]), (), frozenset()))
        start = end
    return read


def _optional(read: Callable[[str], int | None], values: Sequence[str | None]) -> list[int | None] | None:
    """Returns what `read` makes of the values that there are, None if one of them cannot be read."""
    made = [None if one is None else read(one) for one in values]
    return made if made.count(None) == values.count(None) else None


def _are_cents(values: Sequence[int]) -> bool:
    return min(values) > -LARGEST_CENTS and max(values) < LARGEST_CENTS
