"""The banks that are read, each as one value: everything that depends on the bank asks it, not its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa

from pipelines.settings import Settings
from pipelines.store.shape import AccountShape, Shape
from sources.kontist.columns import LATER as KONTIST_LATER
from sources.kontist.columns import TABLES as KONTIST_TABLES
from sources.kontist.columns import UNVERSIONED as KONTIST_UNVERSIONED
from sources.kontomatik.columns import TABLES as KONTOMATIK_TABLES
from sources.kontomatik.columns import UNVERSIONED as KONTOMATIK_UNVERSIONED
from sources.kontomatik.reach import WARSAW


@dataclass(frozen=True, eq=False)
class Bank:
    """One bank: its name in settings, SQL and JSON, its tables of raw history, and its calendar."""

    name: str
    shape: Shape
    """Of its table `transactions`."""
    accounts: AccountShape
    """Of its table `accounts`."""
    tables: Mapping[str, pa.Schema]
    timezone: ZoneInfo
    by_consent: bool
    """Whether it is read through consents, each on its own and within a quota. Otherwise one login reads all its accounts."""
    booked_rule: str
    """The rule of `shape.booked`, for people."""

    @property
    def title(self) -> str:
        """Returns the name for people."""
        return self.name.capitalize()

    def day(self, moment: datetime) -> date:
        """Returns the calendar day at the bank."""
        return moment.astimezone(self.timezone).date()


KONTIST = Bank(
    name="kontist",
    shape=Shape(
        dataset="kontist",
        schema=KONTIST_TABLES["transactions"],
        key="source_transaction_id",
        # A row without value date and booking type is a reservation (observed): it may change, move or vanish.
        # A memo is neither: it moves no money, and may come, change and go at any time.
        booked="(memo is null and (valuta_date is not null or booking_type is not null))",
        pending="(memo is null and valuta_date is null and booking_type is null)",
        shifting=frozenset(),
        about="nullif(concat_ws(' ', name, purpose), '')",
        unversioned=KONTIST_UNVERSIONED,
        later=KONTIST_LATER,
    ),
    accounts=AccountShape(
        numbers=("iban", "source_account_id"), institution="'Kontist'", currency="'EUR'", account_type="'account'"
    ),
    tables=KONTIST_TABLES,
    timezone=ZoneInfo("Europe/Berlin"),
    by_consent=False,
    booked_rule="Kontist: booked as soon as the bank gives a value day or a booking type; a memo if a person entered it or"
    " it is an event",
)


KONTOMATIK = Bank(
    name="kontomatik",
    shape=Shape(
        dataset="kontomatik",
        schema=KONTOMATIK_TABLES["transactions"],
        # The bank gives no id: the day, the amount and which of the equal ones it is are all that never changes.
        key="md5(concat_ws(chr(31), cast(window_on as varchar), cast(amount as varchar), cast(occurrence as varchar)))",
        booked="(status is null or upper(status) = 'DONE')",
        pending="(status is not null and upper(status) <> 'DONE')",
        shifting=frozenset({"balance_after", "position_in_day"}),
        booked_on="coalesce(booked_on, transaction_on)",
        told_apart_by="booked_on",
        about="nullif(concat_ws(' ', party, title), '')",
        unversioned=KONTOMATIK_UNVERSIONED,
    ),
    accounts=AccountShape(numbers=("iban", "number"), institution="institution", consent_id="consent_id"),
    tables=KONTOMATIK_TABLES,
    timezone=WARSAW,
    by_consent=True,
    booked_rule="Kontomatik: booked unless the bank gives a status other than DONE",
)


BANKS = (KONTIST, KONTOMATIK)
"""All of them, in the order in which they are read and shown."""


def bank_named(name: str) -> Bank:
    """Returns the bank with this name."""
    return {bank.name: bank for bank in BANKS}[name]


def read_without_consent(settings: Settings) -> tuple[str, ...]:
    """Returns the names of the banks that the settings alone give access to: no stored consent is needed."""
    return tuple(bank.name for bank in BANKS if not bank.by_consent and settings.of(bank.name).configured)


def banks_day(moment: datetime) -> date:
    """Returns the calendar day at the banks: the latest, should they ever not share their clock."""
    return max(bank.day(moment) for bank in BANKS)
