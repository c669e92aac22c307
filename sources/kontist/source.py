"""The dlt source of Kontist: reads one login's accounts, transactions and orders into any destination."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import dlt
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from sources._columns import read_by_source
from sources._cursors import Asked, Day, day_of, overdue
from sources._deliveries import Delivery, closed_with_the_last_user, hints, without_imports
from sources._http import Http, Pace
from sources._protocols import Depth
from sources._spool import Rejected, SpoolFile
from sources._versions import Rules, Shown, Window, identified, versioned_rows
from sources.kontist.accounts import Account, Orders
from sources.kontist.auth import Application, Login
from sources.kontist.client import KontistClient, Page
from sources.kontist.columns import ACCOUNTS, LATER, STANDING_ORDERS, TIMED_ORDERS, TRANSACTIONS, UNVERSIONED
from sources.kontist.cursor_reading import Wanted, read_by_cursor
from sources.kontist.prefetch import MOST, Prefetch
from sources.kontist.query_client import QueryClient, by_oauth
from sources.kontist.refused_fields import STATE as REFUSED_FIELDS
from sources.kontist.refused_fields import RefusedFields
from sources.kontist.responses import BANK
from sources.kontist.transactions import read_transactions
from sources.kontist.values import BERLIN

BankClient = KontistClient | QueryClient

COLUMNS = {
    name: without_imports(schema)
    for name, schema in {
        "accounts": ACCOUNTS,
        "transactions": TRANSACTIONS,
        "standing_orders": STANDING_ORDERS,
        "timed_orders": TIMED_ORDERS,
    }.items()
}
KEYS = {
    "accounts": ("account_id",),
    "transactions": ("transaction_id",),
    "standing_orders": ("account_id", "order_id"),
    "timed_orders": ("account_id", "order_id"),
}


# dlt fills each argument from the setting of its name, hence the number of arguments.
@dlt.source(name="kontist", section="kontist", max_table_nesting=0)
def kontist(
    since: Day = None,
    *,
    initial_value: Day = None,
    end_value: Day = None,
    lag: int | None = None,
    base_url: str = "https://api.kontist.com",
    dialect: Literal["rest", "graphql"] = "rest",
    client_id: TSecretStrValue | None = None,
    client_secret: TSecretStrValue | None = None,
    auth: Literal["jwt", "basic"] = "jwt",
    email: TSecretStrValue | None = None,
    password: TSecretStrValue | None = None,
    refresh_token: TSecretStrValue | None = None,
    lookback_days: int = 45,
    full_read_days: int = 7,
    requests_per_minute: int = 90,
    pages_in_flight: int = MOST,
    on_new_refresh_token: Callable[[str], None] | None = None,
) -> Iterable[DltResource]:
    """Reads the accounts of one login: `accounts`, `transactions`, `standing_orders`, `timed_orders`.

    Each account has a cursor of its own in dlt's state, its newest day. A later read begins `lag` days before it, and every
    `full_read_days` days at the beginning. An account without a cursor, linked later or new, is read from `since` on.

    Args:
        since: First day of an account without a cursor. None: all that the bank has.
        initial_value: The same, as `dlt.sources.incremental` calls it.
        end_value: Loads the days before this one, and neither uses nor moves a cursor: a backfill.
        lag: Days before the cursor that are read again. None: `lookback_days`.
        base_url: Address of the service.
        dialect: `rest`, or `graphql`, which needs `client_id`, `client_secret` and `refresh_token`.
        client_id: Of the application that is registered at the bank (`graphql`).
        client_secret: The same.
        auth: `jwt`, or `basic` for trying things out.
        email: With `password` the login, unless there is a `refresh_token`.
        password: Is exchanged for tokens (`jwt`).
        refresh_token: Is exchanged for tokens; needs no password.
        lookback_days: The setting of the same name.
        full_read_days: Days after which everything is read again: old rows can be edited.
        requests_per_minute: 0 is no limit of our own.
        pages_in_flight: Pages that are requested at once in a read of many pages; 1 is one after the other.
        on_new_refresh_token: Gets every refresh token that the bank hands out, before it is used.
    """
    today = datetime.now(BERLIN).date()
    asked = Asked.of(since, initial_value, end_value, lookback_days if lag is None else lag, today=today)
    if dialect == "graphql":
        login = _login_by_oauth(client_id, client_secret, refresh_token)
    else:
        login = _login(auth, email, password, refresh_token)

    def keep(token: str) -> None:
        nonlocal login
        if on_new_refresh_token is not None:
            on_new_refresh_token(token)
        login = replace(login, refresh_token=token)

    @contextmanager
    def opened() -> Iterator[BankClient]:
        http = Http(BANK, base_url, pace=Pace(requests_per_minute))
        try:
            kind = KontistClient if login.application is None else by_oauth
            yield kind(http, login, on_new_refresh_token=keep)
        finally:
            http.close()

    return _resources(opened, _Plan(asked, full_read_days, today, pages_in_flight, dialect))


def _resources(opened: Callable[[], AbstractContextManager[BankClient]], plan: "_Plan") -> Iterable[DltResource]:
    @dlt.resource(name="login", selected=False)
    def login() -> Iterator[Any]:
        """Returns the list of accounts, asked for once and shared by all that is selected."""
        with closed_with_the_last_user(opened) as (bank, shared):
            if isinstance(bank, QueryClient):
                note = dlt.current.source_state().setdefault(REFUSED_FIELDS, {})
                bank.fields.remember(RefusedFields(note, bank.http.base_url, plan.today, plan.full_read_days))
            yield shared(_Listed(bank, tuple(bank.accounts())))

    def accounts(listed: _Listed) -> Iterator[Any]:
        """Returns the accounts of the login."""
        delivery = _delivery("accounts")
        yield delivery.begin()
        rows = [{"account_id": one.account_id, **one.row} for one in listed.accounts]
        yield from delivery.whole(versioned_rows(rows, delivery.schema))

    def transactions(listed: _Listed) -> Iterator[Any]:
        """Returns the transactions of each account, from its cursor on."""
        delivery = _delivery("transactions")
        yield delivery.begin()
        for account in listed.accounts:
            yield from _transactions(listed.bank, account, plan, delivery)

    def orders(name: str, ask: Callable[[BankClient, Account], Orders]) -> Callable[[_Listed], Iterator[Any]]:
        def read(listed: _Listed) -> Iterator[Any]:
            delivery = _delivery(name)
            yield delivery.begin()
            rows = []
            for account in listed.accounts:
                shown = ask(listed.bank, account)
                rows += shown.rows.to_pylist()
                yield from delivery.rejected(account.account_id, [Rejected.of(*one, None) for one in shown.rejected])
            yield from delivery.whole(versioned_rows(rows, delivery.schema))

        return read

    standing = orders("standing_orders", lambda bank, account: bank.standing_orders(account))
    timed = orders("timed_orders", lambda bank, account: bank.timed_orders(account))
    yield login
    for name, read in {
        "accounts": accounts,
        "transactions": transactions,
        "standing_orders": standing,
        "timed_orders": timed,
    }.items():
        yield dlt.transformer(read, data_from=login, **hints(name, COLUMNS[name], KEYS[name]))


def _delivery(name: str) -> Delivery:
    return Delivery(COLUMNS[name], KEYS[name])


def _transactions(bank: BankClient, account: Account, plan: "_Plan", delivery: Delivery) -> Iterator[pa.RecordBatch]:
    cursors = dlt.current.resource_state().setdefault("accounts", {})
    cursor = {} if plan.asked.is_backfill else cursors.get(account.account_id, {})
    depth, since = plan.window(cursor, may_deepen=delivery.mode == "versions")
    with TemporaryDirectory() as folder:
        spool = SpoolFile(Path(folder) / "rows.parquet", read_by_source(TRANSACTIONS))
        known = _Known(cursor)
        if isinstance(bank, QueryClient):
            read = read_by_cursor(bank, account, Wanted(depth, since, known), spool)
        else:
            read = read_transactions(bank, account, depth=depth, since=since, known=known, spool=spool, prefetch=plan.prefetch)
        shown = Shown(account_id=account.account_id, file=spool.close())
        moved = plan.moved(cursor, read.since, _days(shown.file), (read.account or account.row).get("balance_cents"))
        keep_from = None if plan.asked.is_backfill or "through" not in moved else plan.read_again_from(moved)
        window = Window(read.since, plan.asked.end_value)
        # Rows that are shown before the window are no news, but for one that was moved out of it: all of them are delivered.
        # In a new dialect all of them are news, as each has ids of its own.
        days = Window(day_of(cursor.get("not_before"))) if "through" in cursor and not plan.changes_dialect(cursor) else window
        rows = _subtracted(identified(RULES, shown, days), moved, keep_from)
        yield from delivery.days(account.account_id, window, rows, keep_from=keep_from)
    if not plan.asked.is_backfill and moved:
        cursors[account.account_id] = moved
    yield from delivery.rejected(account.account_id, spool.rejected)


def _days(file: Path | None) -> list[date]:
    return [] if file is None else pq.read_table(file, columns=["window_on"], partitioning=None)["window_on"].to_pylist()


def _subtracted(rows: Iterator[pa.RecordBatch], moved: dict[str, Any], keep_from: date | None) -> Iterator[pa.RecordBatch]:
    """Passes rows on, and takes what is booked from `keep_from` on from the balance that the cursor holds."""
    for batch in rows:
        if keep_from is not None and moved.get("balance_before") is not None:
            for day, place, cents in zip(
                *(batch.column(name).to_pylist() for name in ("window_on", "position_in_day", "amount_cents")), strict=True
            ):
                moved["balance_before"] -= cents if place and day >= keep_from else 0
        yield batch


def _is_booked(keys: pa.Table) -> list[bool]:
    """Returns which rows are booked: neither a reservation, without value date and booking type (observed), nor a memo."""
    columns = (keys[name].to_pylist() for name in _BOOKED_BY)
    return [memo is None and (one is not None or other is not None) for memo, one, other in zip(*columns, strict=True)]


_BOOKED_BY = ("memo", "valuta_date", "booking_type")


RULES = Rules(
    schema=COLUMNS["transactions"],
    amount="amount_cents",
    booked=_is_booked,
    booked_by=_BOOKED_BY,
    own_id="source_transaction_id",
    unversioned=UNVERSIONED,
    later=LATER,
)


@dataclass(frozen=True)
class _Listed:
    """The client and the accounts, for all resources of one extraction."""

    bank: BankClient
    accounts: tuple[Account, ...]


@dataclass(frozen=True)
class _Known:
    """Implements `sources._protocols.Known` by the cursor: no rows, and the balance before the days that are read again."""

    cursor: Mapping[str, Any]

    def unchanged(self, rows: pa.RecordBatch) -> bool:  # noqa: ARG002
        return False

    def oldest_pending(self) -> date | None:
        return None

    def balance_before(self, since: date | None) -> int | None:
        if since is None or since.isoformat() != self.cursor.get("since"):
            return None
        cents: int | None = self.cursor.get("balance_before")
        return cents


@dataclass(frozen=True)
class _Plan:
    """How far each account is read. A cursor holds:

    through         the newest day that was shown, none ahead of today
    since           the day from which the next read goes on, and the balance before it (`balance_before`)
    not_before      `since` of the first read: earlier days were not asked for
    full_on         the last read of everything
    dialect         the dialect of the rows; `rest` where there is none
    """

    asked: Asked
    full_read_days: int
    today: date
    pages_in_flight: int = MOST
    dialect: str = "rest"

    def prefetch(self, fetch: Callable[[str], Page]) -> Prefetch:
        """Makes the fetcher of one way down an account's pages."""
        return Prefetch(fetch, self.pages_in_flight)

    def window(self, cursor: Mapping[str, Any], *, may_deepen: bool) -> tuple[Depth, date | None]:
        """Returns how deep to read, and from which day on. `may_deepen`: the destination can apply edits of old rows."""
        if "through" not in cursor:
            first = self.asked.initial_value
        elif may_deepen and (self.changes_dialect(cursor) or overdue(cursor.get("full_on"), self.full_read_days, self.today)):
            first = day_of(cursor.get("not_before"))
        else:
            first = self.read_again_from(cursor)
        return ("full", None) if first is None else ("deep", first)

    def changes_dialect(self, cursor: Mapping[str, Any]) -> bool:
        """Returns whether the known rows have the ids of the other dialect."""
        return "through" in cursor and bool(cursor.get("dialect", "rest") != self.dialect)

    def read_again_from(self, cursor: Mapping[str, Any]) -> date:
        """Returns the first day that a usual read covers."""
        first = date.fromisoformat(cursor["through"]) - timedelta(days=self.asked.lag)
        return max(first, day_of(cursor.get("not_before")) or first)

    def moved(self, cursor: Mapping[str, Any], since: date | None, days: list[date], balance: int | None) -> dict[str, Any]:
        """Returns the cursor after a read from `since` on that showed rows of these days."""
        past = [day.isoformat() for day in days if day <= self.today]
        through = max([*past, cursor.get("through", "")])
        if not through:
            return {}
        # What an earlier dialect has brought before `since` stays, and is not delivered under other ids.
        goes_on = "through" in cursor and not self.changes_dialect(cursor)
        not_before = cursor.get("not_before") if goes_on else since and since.isoformat()
        everything = since is None or since.isoformat() == not_before
        full_on = self.today.isoformat() if everything else cursor.get("full_on")
        moved = {"through": through, "not_before": not_before, "full_on": full_on, "dialect": self.dialect}
        again = self.read_again_from(moved)
        reached = since is None or since <= again
        return moved | {"since": again.isoformat(), "balance_before": balance if reached else None}


def _login_by_oauth(client_id: str | None, client_secret: str | None, refresh_token: str | None) -> Login:
    """Returns the login by OAuth2. Raises dlt's `ConfigFieldMissingException` when a part of it is missing."""
    given = {"client_id": client_id, "client_secret": client_secret, "refresh_token": refresh_token}
    own = {name: value or str(dlt.secrets[f"sources.kontist.{name}"]) for name, value in given.items()}
    return Login(refresh_token=own["refresh_token"], application=Application(own["client_id"], own["client_secret"]))


def _login(auth: Literal["jwt", "basic"], email: str | None, password: str | None, refresh_token: str | None) -> Login:
    """Returns the login. Raises dlt's `ConfigFieldMissingException` when there is nothing to log in with."""
    if not (refresh_token and auth == "jwt"):
        email = email or str(dlt.secrets["sources.kontist.email"])
        password = password or str(dlt.secrets["sources.kontist.password"])
    return Login(email, password, refresh_token, auth)
