"""Gives a bank's rows to dlt so that each destination gets all that it can keep.

| the destination's merge strategies | what it gets |
|---|---|
| `scd2` (DuckDB, PostgreSQL, ...) | every version of every row; what the bank no longer shows inside a window is retired |
| others (`upsert`, `delete-insert`) | the present rows; what the bank no longer shows is deleted by `hard_delete` |
| none (files) | new and changed rows, appended once; a row with `removed` true says that the bank no longer shows it |

Without `scd2` the source remembers in dlt's state what it has delivered: id and hash of the rows that are read again.
"""

import json
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeVar

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.configuration.container import Container
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.exceptions import DestinationCapabilitiesException
from dlt.common.destination.utils import resolve_merge_strategy
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.extract.exceptions import CurrentSourceNotAvailable

from sources._columns import INSTANT, QUARANTINE, TRUTH, dlt_columns
from sources._merge_scopes import FIRST_DAY, LAST_DAY, SINCE, STAGED, UNTIL, WHOLE_ACCOUNT, marker, staged_scope
from sources._spool import Rejected
from sources._versions import Window, digest

Client = TypeVar("Client")
Item = TypeVar("Item")
Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)

Mode = Literal["versions", "rows", "news"]
"""What the destination can keep: versions, present rows, or only what is appended."""
CONTENT: dict[Mode, str] = {"versions": "versions", "rows": "the present rows", "news": "appended changes"}
REMOVAL = (pa.field("removed", TRUTH), pa.field("read_at", INSTANT))
"""Columns that a destination without versions gets: whether the bank no longer shows the row, and when that was read. Null in the
rows of before, where a table had versions once."""
REJECTED = pa.schema([*(field for field in QUARANTINE if field.name not in ("import_id", "row_version")), REMOVAL[1]])
"""Columns of the table `quarantine`, with the moment of the read."""
HASH_DIGITS = 12
"""Digits of a row's hash that the state keeps: enough to notice a change."""


def keeps_versions(schema: pa.Schema) -> dict[str, Any]:
    """Returns the write disposition of a destination that keeps versions. Without a consent or a day in its columns, a table is
    delivered whole at every load."""
    scd2 = {"disposition": "merge", "strategy": "scd2", "row_version_column_name": "row_version"}
    if {"consent_id", "window_on"} & set(schema.names):
        scd2 |= {"source_filter": STAGED, "destination_scope": staged_scope(schema)}
    return scd2


def without_imports(schema: pa.Schema) -> pa.Schema:
    """Returns the columns that a dlt source delivers: those of raw history, without the number of the ledger's own import."""
    return pa.schema([field for field in schema if field.name != "import_id"])


def mode(resource: str | None = None) -> Mode:
    """Returns what is loaded of a resource, None the running one: what its destination can keep, or less if its user wants less.

    Raises `ValueError` for `replace`: a read does not show all rows.
    """
    wanted = _write_disposition(resource)
    if wanted is None or (isinstance(wanted, dict) and wanted.get("strategy") == "scd2"):
        return _possible()
    match wanted["disposition"] if isinstance(wanted, dict) else wanted:
        case "append":
            return "news"
        case "merge":
            return "rows"
    raise ValueError(
        "this source reads again only the days since its cursor, so only `append` and `merge` are possible;"
        ' to load everything anew, use refresh="drop_resources"'
    )


def _write_disposition(resource: str | None = None) -> Any:
    """Returns the write disposition of a resource: ours, or its user's; None outside of a pipeline."""
    try:
        found = dlt.current.source().resources[resource] if resource else dlt.current.resource()
    except (CurrentSourceNotAvailable, KeyError):
        return None
    return found.write_disposition


def _possible() -> Mode:
    """Returns what the destination of the running pipeline can keep; without a destination, that of the declared hints."""
    container = Container()
    if DestinationCapabilitiesContext not in container:
        return "versions"
    wanted: Any = {"name": "any", "columns": {}, "write_disposition": "merge", "x-merge-strategy": "scd2"}
    try:
        strategy = resolve_merge_strategy({"any": wanted}, wanted, container[DestinationCapabilitiesContext])
    except DestinationCapabilitiesException:
        return "rows"
    return "versions" if strategy else "news"


class Delivery:
    """One table on its way to the destination; made while its resource runs, since only then both are known.

    `key` are the columns that name a row.
    """

    def __init__(
        self, schema: pa.Schema, key: tuple[str, ...], *, keeps: Mode | None = None, memory: dict[str, Any] | None = None
    ) -> None:
        """By default `keeps` is what the running pipeline's destination can keep, and `memory` the running resource's state."""
        self.schema = schema
        self.mode = keeps or mode()
        self._key = key
        self._read_at = datetime.now(UTC)
        self._memory: dict[str, Any] = dlt.current.resource_state() if memory is None else memory
        if (kept := self._memory.setdefault("keeps", self.mode)) != self.mode:
            raise ValueError(
                f"this table holds {CONTENT[kept]} and cannot go on with {CONTENT[self.mode]}: rows would be in it twice."
                ' Keep the write_disposition, load into another dataset, or use refresh="drop_resources"'
            )

    @property
    def columns(self) -> pa.Schema:
        """Returns the table's columns at this destination."""
        return self.schema if self.mode == "versions" else pa.schema([*self.schema, *REMOVAL])

    def begin(self) -> Any:
        """Returns the item to yield first: no rows, with which dlt makes the table even if none follows."""
        if self.mode == "versions":
            return self.schema.empty_table()
        columns = dlt_columns(self.columns)
        if self.mode == "rows":
            columns["removed"]["hard_delete"] = True
        disposition: Any = {"disposition": "merge"} if self.mode == "rows" else "append"
        if isinstance(own := _write_disposition(), dict) and own.get("strategy") != "scd2":
            disposition = own
        hints = dlt.mark.make_hints(columns=columns, primary_key=self._key, write_disposition=disposition)
        return dlt.mark.with_hints(self.columns.empty_table(), hints)

    def days(
        self, account_id: str, window: Window | None, batches: Iterable[pa.RecordBatch], *, keep_from: date | None = None
    ) -> Iterator[pa.RecordBatch | pa.Table]:
        """Yields an account's transactions and the end of those that the bank no longer shows on the window's days.

        `window` None: the answer is not complete, and nothing is claimed to be gone. `keep_from`: the first day that may be read
        again, before which a destination without versions gets nothing more.
        """
        batches = map(storable, batches)
        if self.mode != "versions":
            yield from self._news(account_id, window, batches, keep_from)
            return
        if window == Window():
            yield marker(self.schema, WHOLE_ACCOUNT, account_id=account_id)
        elif window is not None:
            first = marker(self.schema, SINCE, account_id=account_id, window_on=window.since or FIRST_DAY)
            last = marker(self.schema, UNTIL, account_id=account_id, window_on=window.until or LAST_DAY)
            yield pa.Table.from_batches([first, last])
        yield from batches

    def whole(
        self, rows: pa.Table, *, consent_id: str | None = None, complete: bool = True, elsewhere: Iterable[dict[str, Any]] = ()
    ) -> Iterator[pa.RecordBatch]:
        """Yields a list of one consent or of all accounts; what it leaves out is gone if the list is `complete`.

        `elsewhere` are the keys of rows that another consent delivers in this load: they are not gone.
        """
        window, rows = Window() if complete else None, storable(rows)
        if self.mode != "versions":
            for key in elsewhere:
                self._state("delivered", consent_id or "", {}).pop(self._name(key, consent_id or ""), None)
            yield from self._news(consent_id or "", window, rows.to_batches(), None)
            return
        if consent_id is not None and complete:
            yield marker(self.schema, SINCE, consent_id=consent_id)
        yield from rows.to_batches()

    def rejected(self, account_id: str, rows: Iterable[Rejected]) -> Iterator[Any]:
        """Yields the rows that cannot be understood, for the table `quarantine`: each once, and it stays there."""
        known: list[str] = self._state("quarantined", account_id, []) if self.mode == "news" else []
        found = {}
        for row in rows:
            quarantine_id = f"q-{digest(account_id, row.digest)}"
            if quarantine_id not in known:
                own = {"quarantine_id": quarantine_id, "account_id": account_id, "read_at": self._read_at}
                found[quarantine_id] = own | {"window_on": row.window_on, "reason": row.reason, "payload": row.payload}
        if not found:
            return
        if self.mode == "news":
            known += found
        hints = dlt.mark.make_hints(
            table_name="quarantine",
            columns={},  # not those of the resource's own table; the rows bring theirs
            primary_key="quarantine_id",
            write_disposition="append" if self.mode == "news" else {"disposition": "merge"},
        )
        batch = pa.Table.from_pylist(list(found.values()), schema=REJECTED)
        yield dlt.mark.with_hints(storable(batch), hints, create_table_variant=True)

    def _state(self, name: str, scope: str, empty: Any) -> Any:
        """Returns what dlt's state keeps of a scope: it is loaded with the rows, or not at all."""
        return self._memory.setdefault(name, {}).setdefault(scope, empty)

    def _news(
        self, scope: str, window: Window | None, batches: Iterable[pa.RecordBatch], keep_from: date | None
    ) -> Iterator[pa.RecordBatch]:
        known: dict[str, list[str]] = self._state("delivered", scope, {})
        covered: list[list[str | None]] = self._state("covered", scope, []) if "window_on" in self.schema.names else []
        kept_from: str | None = self._memory.get("kept_from", {}).get(scope)
        shown = set()
        for batch in batches:
            wanted = []
            for place, row in enumerate(batch.select(self._compared).to_pylist()):
                name = self._name(row, scope)
                entry = [row["row_version"][:HASH_DIGITS], *([row["window_on"].isoformat()] if "window_on" in row else [])]
                if name not in known and kept_from and entry[1] < kept_from and _covers(covered, entry[1]):
                    continue  # delivered so long ago that its hash is not kept any more
                shown.add(name)
                if known.get(name) != entry:
                    known[name] = entry
                    wanted.append(place)
            if wanted:
                yield self._marked(pa.Table.from_batches([batch]).take(wanted), removed=False)
        gone = [name for name, entry in known.items() if name not in shown and window is not None and _holds(window, entry)]
        if gone:
            rows = [self._tombstone(name, known.pop(name), scope) for name in gone]
            yield self._marked(pa.Table.from_pylist(rows, schema=self.schema), removed=True)
        if window is not None and "window_on" in self.schema.names:
            _add_range(covered, window)
        if keep_from is not None:
            first = max(keep_from.isoformat(), kept_from or "")
            self._memory.setdefault("kept_from", {})[scope] = first
            for name in [name for name, entry in known.items() if entry[1] < first]:
                del known[name]

    @property
    def _compared(self) -> list[str]:
        return [name for name in self.schema.names if name in {*self._key, "row_version", "window_on"}]

    def _name(self, row: dict[str, Any], scope: str) -> str:
        if self._key == ("transaction_id",):
            return str(row["transaction_id"]).removeprefix(f"{scope}:")
        return json.dumps([row[column] for column in self._key])

    def _tombstone(self, name: str, entry: list[str], scope: str) -> dict[str, Any]:
        neutral: dict[str, Any] = marker(self.schema, "removed").to_pylist()[0]
        if "window_on" in neutral:
            own = {"transaction_id": f"{scope}:{name}", "account_id": scope, "window_on": date.fromisoformat(entry[1])}
            return neutral | own
        return neutral | dict(zip(self._key, json.loads(name), strict=True))

    def _marked(self, rows: pa.Table, *, removed: bool) -> pa.RecordBatch:
        marks = [[removed] * rows.num_rows, [self._read_at] * rows.num_rows]
        arrays = [pa.array(values, field.type) for values, field in zip(marks, REMOVAL, strict=True)]
        columns = [*rows.combine_chunks().columns, *arrays]
        (batch,) = pa.Table.from_arrays(columns, schema=self.columns).combine_chunks().to_batches()
        return batch


def _covers(covered: list[list[str | None]], day: str) -> bool:
    return any((since or "") <= day < (until or "9") for since, until in covered)


def _add_range(covered: list[list[str | None]], window: Window) -> None:
    """Adds the window's days; of two windows that end alike the longer one is enough."""
    since, until = (None if day is None else day.isoformat() for day in (window.since, window.until))
    same_end = [one for one in covered if one[1] == until]
    for one in same_end:
        one[0] = min(one[0], since) if one[0] and since else None
    if not same_end:
        covered.append([since, until])


def _holds(window: Window, entry: list[str]) -> bool:
    return len(entry) < 2 or window.holds(date.fromisoformat(entry[1]))


def storable(rows: Rows) -> Rows:
    """Returns rows whose texts hold no NUL: PostgreSQL stores none, and the load would fail at every new try."""
    for place, field in enumerate(rows.schema):
        column = rows.column(place)
        if pa.types.is_string(field.type) and pc.any(pc.match_substring(column, "\x00")).as_py():
            rows = rows.set_column(place, field, pc.replace_substring(column, "\x00", "\ufffd"))
    return rows


def taken(table: str, account_id: str, consent_id: str) -> bool:
    """Returns whether the account was read through another consent in this very load: its rows must not be in it twice."""
    try:
        package: Any = dlt.current.load_package_state()["state"]
    except CurrentLoadPackageStateNotAvailable:
        return False
    readers = package.setdefault("read_through", {}).setdefault(table, {})
    return bool(readers.setdefault(account_id, consent_id) != consent_id)


def hints(name: str, schema: pa.Schema, key: tuple[str, ...]) -> dict[str, Any]:
    """Returns the declared hints of one table, for a destination that keeps versions."""
    columns = dlt_columns(schema)
    return {"name": name, "columns": columns, "primary_key": key, "write_disposition": keeps_versions(schema)}


@contextmanager
def closed_with_the_last_user(
    opened: Callable[[], AbstractContextManager[Client]],
) -> Iterator[tuple[Client, Callable[[Item], Item]]]:
    """Opens a client for all resources of one extraction, which dlt runs in any order and ends without notice.

    Gives the client and a function to call with the item that the resources share: the client is closed when the last of them has
    let go of it. Until that function is called, the block closes it.
    """
    with ExitStack() as stack:
        client = stack.enter_context(opened())

        def shared(item: Item) -> Item:
            weakref.finalize(item, stack.pop_all().close)
            return item

        yield client, shared
