"""The dlt source of Kontomatik: one import through one consent, into any destination."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import dlt
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common import logger
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from sources._columns import dlt_columns, read_by_source
from sources._cursors import Asked, Day, day_of, overdue
from sources._deliveries import Delivery, closed_with_the_last_user, hints, mode, taken, without_imports
from sources._http import Http
from sources._spool import Spools
from sources._versions import Rules, Shown, Window, identified, versioned_rows
from sources.kontomatik.client import KontomatikClient
from sources.kontomatik.columns import ACCOUNTS, INSTITUTIONS, OWNERS, TRANSACTIONS, UNVERSIONED
from sources.kontomatik.errors import BANK
from sources.kontomatik.reach import FAR_READ_DAYS, WARSAW, reachable, to_ask
from sources.kontomatik.results import AccountRead, Command, ImportResult

COLUMNS = {
    name: without_imports(schema)
    for name, schema in {"owners": OWNERS, "accounts": ACCOUNTS, "transactions": TRANSACTIONS}.items()
}
KEYS = {"owners": ("consent_id", "position"), "accounts": ("account_id",), "transactions": ("transaction_id",)}
UNNAMED = "bank not named"


# dlt fills each argument from the setting of its name, hence the number of arguments.
@dlt.source(name="kontomatik", section="kontomatik", max_table_nesting=0)
def kontomatik(
    since: Day = None,
    *,
    api_key: TSecretStrValue = dlt.secrets.value,
    multiple_access_token: TSecretStrValue = dlt.secrets.value,
    initial_value: Day = None,
    end_value: Day = None,
    lag: int | None = None,
    base_url: str = "https://api.kontomatik.com/v1",
    dialect: Literal["openapi", "live"] = "openapi",
    consent_id: str | None = None,
    owner_external_id: str | None = None,
    lookback_days: int = 14,
    poll_interval: float = 3.0,
    command_deadline: float = 600.0,
    on_new_token: Callable[[str], None] | None = None,
) -> Iterable[DltResource]:
    """Reads the accounts of one consent: `owners`, `accounts`, `transactions`; and `institutions`, the banks that are covered.

    Reuses the consent and starts one import, whichever of the first three are selected: it spends one of four in 24 hours.
    Each account has a cursor of its own in dlt's state, the day of its last complete read. A later import begins `lag` days
    before the earliest cursor, and once a week at the first day that a reused consent shows.

    Args:
        since: First day of a consent that was not read before. None: all that the bank gives.
        api_key: Of the contract with Kontomatik.
        multiple_access_token: The consent's token.
        initial_value: The same as `since`, as `dlt.sources.incremental` calls it.
        end_value: Loads the days before this one, and neither uses nor moves a cursor: a backfill.
        lag: Days before the cursor that are read again. None: `lookback_days`.
        base_url: Address of the service.
        dialect: `openapi`, the published specification; `live`, the service as observed.
        consent_id: A name for the consent in owners and accounts. None: made from its token.
        owner_external_id: The customer, where the contract wants one.
        lookback_days: The setting of the same name.
        poll_interval: Seconds between two looks at a running import.
        command_deadline: Seconds after which it fails.
        on_new_token: Gets a token that the bank hands out in place of the given one.
    """
    today = datetime.now(WARSAW).date()
    asked = Asked.of(since, initial_value, end_value, lookback_days if lag is None else lag, today=today)

    @contextmanager
    def opened() -> Iterator[KontomatikClient]:
        http = Http(BANK, base_url)
        try:
            yield KontomatikClient(http, api_key, dialect, poll_interval=poll_interval, command_deadline=command_deadline)
        finally:
            http.close()

    consent = _Consent(multiple_access_token, consent_id or _name_of(multiple_access_token), owner_external_id, on_new_token)
    plan = _Plan(asked, today, consent.consent_id)
    return _resources(opened, consent, plan)


Opened = Callable[[], AbstractContextManager[KontomatikClient]]


def _resources(opened: Opened, consent: "_Consent", plan: "_Plan") -> Iterable[DltResource]:
    @dlt.resource(name="import", selected=False)
    def imported() -> Iterator[Any]:
        """Returns the one import, shared by all that is selected."""
        with closed_with_the_last_user(lambda: _with_folder(opened)) as ((client, folder), shared):
            cursors = dlt.current.resource_state("transactions").setdefault("accounts", {})
            first_day = plan.since(cursors, versions=mode("transactions") == "versions")
            yield shared(_Imported(consent.imported(client, first_day, folder), first_day))

    def owners(read: _Imported) -> Iterator[Any]:
        """Returns the people behind the consent."""
        delivery = _delivery("owners")
        yield delivery.begin()
        rows = versioned_rows([{"consent_id": consent.consent_id, **one} for one in read.result.owners], delivery.schema)
        yield from delivery.whole(rows, consent_id=consent.consent_id)

    def accounts(read: _Imported) -> Iterator[Any]:
        """Returns the accounts and cards of the consent."""
        delivery = _delivery("accounts")
        yield delivery.begin()
        elsewhere = {one.account_id for one in read.readable if taken("accounts", one.account_id, consent.consent_id)}
        listed = [one for one in read.readable if one.account_id not in elsewhere]
        rows = versioned_rows([read.row_of(one, consent.consent_id) for one in listed], delivery.schema)
        keys = [{"account_id": account_id} for account_id in sorted(elsewhere)]
        yield from delivery.whole(rows, consent_id=consent.consent_id, complete=read.is_whole, elsewhere=keys)

    def transactions(read: _Imported) -> Iterator[Any]:
        """Returns the transactions of each account and card, from the import's first day on."""
        delivery = _delivery("transactions")
        yield delivery.begin()
        for account in read.readable:
            if taken("transactions", account.account_id, consent.consent_id):
                continue
            yield from _transactions(account, read, plan, delivery)
        if read.is_whole and not plan.asked.is_backfill:
            _forget_gone_accounts({one.account_id for one in read.result.accounts}, consent.consent_id)

    def institutions() -> Iterator[Any]:
        """Returns the banks that Kontomatik covers; costs no import."""
        yield INSTITUTIONS.empty_table()
        with opened() as client:
            yield pa.Table.from_pylist(_listed(client), schema=INSTITUTIONS)

    yield imported
    for name, read in {"owners": owners, "accounts": accounts, "transactions": transactions}.items():
        yield dlt.transformer(read, data_from=imported, **hints(name, COLUMNS[name], KEYS[name]))
    columns = dlt_columns(INSTITUTIONS)
    yield dlt.resource(institutions, columns=columns, primary_key="target", write_disposition="replace")


def _delivery(name: str) -> Delivery:
    return Delivery(COLUMNS[name], KEYS[name])


@contextmanager
def _with_folder(opened: Opened) -> Iterator[tuple[KontomatikClient, Path]]:
    with TemporaryDirectory() as folder, opened() as client:
        yield client, Path(folder)


def _listed(client: KontomatikClient) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        {
            "target": one.target,
            "institution": one.institution,
            "name": one.name,
            "country": one.country,
            "access_modes": json.dumps(sorted(one.access_modes)) if one.access_modes else None,
            "beta": one.beta,
            "read_at": now,
        }
        for one in client.catalog()
    ]


def _transactions(account: AccountRead, read: "_Imported", plan: "_Plan", delivery: Delivery) -> Iterator[pa.RecordBatch]:
    cursors = dlt.current.resource_state().setdefault("accounts", {})
    cursor = cursors.get(account.account_id, {})
    spool: Any = account.spool
    shown = Shown(account_id=account.account_id, file=spool.close(), newest_first=account.newest_first)
    window = plan.window(shown, read.since, known="through" in cursor)
    keep_from = None if plan.asked.is_backfill else reachable(plan.today)
    if account.partial:
        logger.error(f"kontomatik: the bank cut the answer about {account.account_id} short; the next read asks for it again")
        yield from delivery.days(account.account_id, None, identified(RULES, shown, _shown_whole(shown)))
    elif window is not None:
        yield from delivery.days(account.account_id, window, identified(RULES, shown, window), keep_from=keep_from)
    if account.partial and not plan.asked.is_backfill:
        cursors.setdefault(account.account_id, {"consent_id": plan.consent_id})
    elif not plan.asked.is_backfill:
        cursors[account.account_id] = plan.moved(cursor, read.since)
    yield from delivery.rejected(account.account_id, spool.rejected)


def _forget_gone_accounts(listed: set[str], consent_id: str) -> None:
    """Drops the cursors of accounts that the consent no longer has: they would ask for ever more days."""
    cursors = dlt.current.resource_state().setdefault("accounts", {})
    for account_id in [one for one, cursor in cursors.items() if cursor["consent_id"] == consent_id and one not in listed]:
        del cursors[account_id]


def _days(shown: Shown) -> list[date]:
    return (
        [] if shown.file is None else pq.read_table(shown.file, columns=["window_on"], partitioning=None)["window_on"].to_pylist()
    )


def _shown_whole(shown: Shown) -> Window:
    """Returns the days of an answer that was cut short which are whole all the same: neither its first nor its last."""
    days = _days(shown) or [date.min]
    return Window(min(days) + timedelta(days=1), max(days))


def _is_booked(keys: pa.Table) -> list[bool]:
    return [status is None or status.upper() == "DONE" for status in keys["status"].to_pylist()]


RULES = Rules(
    schema=COLUMNS["transactions"],
    amount="amount",
    booked=_is_booked,
    booked_by=("status",),
    own_id=None,
    unversioned=UNVERSIONED,
)


@dataclass(frozen=True)
class _Imported:
    """What one import brought, and the first day for which its answer is whole; None: nobody knows."""

    result: ImportResult
    since: date | None

    @property
    def readable(self) -> list[AccountRead]:
        """Returns the accounts that can be trusted."""
        return [one for one in self.result.accounts if one.error is None]

    @property
    def is_whole(self) -> bool:
        """Returns whether an account that is not listed is gone."""
        return bool(self.result.accounts) and not any(one.error or one.partial for one in self.result.accounts)

    def row_of(self, read: AccountRead, consent_id: str) -> dict[str, Any]:
        """Returns the account's row."""
        own = {"account_id": read.account_id, "source_account_id": read.source_account_id, "consent_id": consent_id}
        institution = read.account.get("institution") or self.result.institution or self.result.target or UNNAMED
        return {**read.account, "institution": institution} | own


@dataclass(frozen=True)
class _Consent:
    """A consent, and how it is read."""

    token: str
    consent_id: str
    owner_external_id: str | None
    on_new_token: Callable[[str], None] | None

    def imported(self, client: KontomatikClient, since: date | None, folder: Path) -> ImportResult:
        """Makes one import from `since` on; its rows go to files in `folder`."""
        opened = client.reuse(self.token, to_ask(since))
        command = opened if isinstance(opened, Command) else client.start_import(opened, to_ask(since), self.owner_external_id)
        result = client.wait(command.id, Spools(folder, BANK, read_by_source(TRANSACTIONS)).new)
        if result.token and result.token != self.token and self.on_new_token is not None:
            self.on_new_token(result.token)
        for account in result.accounts:
            if account.error is not None:
                logger.error(f"kontomatik: {account.account_id} is left out: {account.error}")
        return result


@dataclass(frozen=True)
class _Plan:
    """How far the import reads. An account's cursor holds:

    through         the last complete read; missing while no read went back to the account's beginning
    not_before      `since` of the first read: earlier days were not asked for
    far_on          the last read of all that a reused consent shows
    consent_id      the consent that it was read through
    """

    asked: Asked
    today: date
    consent_id: str

    def since(self, cursors: Mapping[str, Any], *, versions: bool) -> date | None:
        """Returns the first day that the import shall cover, the earliest that one of its accounts needs; None: all there is.

        A destination without versions always gets all days that a reused consent shows: what is booked late is among them.
        """
        known = [one for one in cursors.values() if one["consent_id"] == self.consent_id]
        if self.asked.is_backfill or not known:
            first = self.asked.initial_value
            return None if first is None else max(first, reachable(self.today))
        needs = [self._need(cursor, versions=versions) for cursor in known]
        return max(reachable(self.today), min(needs))

    def window(self, shown: Shown, since: date | None, *, known: bool) -> Window | None:
        """Returns the days for which the answer is whole; None where nothing was shown, and nothing is claimed.

        Where all was asked for, the bank may have cut its first day anywhere, which matters if earlier rows are `known`.
        """
        if since is None:
            first = min(_days(shown), default=None)
            if first is None:
                return None
            since = first + timedelta(days=1) if known else first
        return Window(since, self.asked.end_value)

    def moved(self, cursor: Mapping[str, Any], since: date | None) -> dict[str, Any]:
        """Returns the cursor after a complete read from `since` on."""
        if "through" in cursor:
            not_before = cursor.get("not_before")
        elif since is None or since <= reachable(self.today) or since == self.asked.initial_value:
            not_before = since.isoformat() if since and since == self.asked.initial_value else None
        else:
            return {"consent_id": self.consent_id}
        is_far = since is None or since <= max(reachable(self.today), day_of(not_before) or date.min)
        far_on = self.today.isoformat() if is_far else cursor.get("far_on")
        own = {"through": self.today.isoformat(), "not_before": not_before, "far_on": far_on}
        return own | {"consent_id": self.consent_id}

    def _need(self, cursor: Mapping[str, Any], *, versions: bool) -> date:
        earliest = reachable(self.today)
        if "through" not in cursor or not versions or overdue(cursor["far_on"], FAR_READ_DAYS, self.today):
            due = earliest
        else:
            due = date.fromisoformat(cursor["through"]) - timedelta(days=self.asked.lag)
        return max(due, day_of(cursor.get("not_before")) or due)


def _name_of(token: str) -> str:
    """Returns a name for a consent that says nothing of its token."""
    return f"{BANK}:{hashlib.sha256(token.encode()).hexdigest()[:16]}"
