"""Explains where a transaction came from: each raw version with its import and load, and the rules that shaped it."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.errors import WrongUsage
from pipelines.store.banks import bank_named
from pipelines.store.files import FILE
from pipelines.store.sql import Rows, rows_of
from pipelines.text.sinks import line

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_HISTORY = ("change", "valid_from", "valid_to", "status", "booked_on", "amount", "description")
_OURS = frozenset({"_dlt_valid_from", "_dlt_valid_to", "import_id", "row_version"})

_FILE_RULE = "Imported file: it holds booked entries only, and this one is not among those that the bank shows"

_EVIDENCE = {
    "decision": "somebody decided so (seed transfers)",
    "both_ibans": "each end names the other's IBAN, same amount, at most ten days apart",
    "exchange": "each end names the other's IBAN, two currencies, the only candidates within four days",
    "one_iban": "one end names the other's IBAN, same amount, at most four days apart",
    "reference": "both ends carry the same end-to-end reference and amount",
    "kind": "both banks call it a transfer between own accounts, same amount, the only candidates within four days",
    "amount": "same amount, at most four days apart, each the other's only candidate: a suggestion, nothing is booked by it",
}


_KIND = """
select kinds.payment_kind, kinds.evidence, kinds.recurring_id, series.cadence, series.rule, series.payments, series.first_on,
    series.last_on, series.next_on, series.typical_amount, series.currency, series.is_ended
from payment_kinds as kinds left join recurring as series using (recurring_id)
where kinds.transaction_id = $1
"""


@dataclass(frozen=True)
class Version:
    """One version of the transaction in raw history, with the import and the load that brought it."""

    shown_from: datetime
    shown_until: datetime | None
    row_version: str
    brought_by: dict[str, Any]
    """The import's row in the ledger; its id alone where the ledger has none."""
    load: dict[str, Any] | None
    values: dict[str, Any]
    """What the bank said, by column."""

    def as_json(self) -> dict[str, Any]:
        """Returns one of `versions` in `explain --json`."""
        return {
            "shown_from": self.shown_from,
            "shown_until": self.shown_until,
            "row_version": self.row_version,
            "import": self.brought_by,
            "load": self.load,
            "said": self.values,
        }


@dataclass(frozen=True)
class StatusRule:
    """The status of the transaction, and the rule that gave it."""

    status: str
    rule: str


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What was decided about the transaction, and by which rule: rows of the ledger."""

    status: StatusRule
    category: Rows
    transfer: Rows
    in_transit: Rows
    expected_payment: Rows
    splits: Rows = field(default_factory=list)
    payment_kind: Rows = field(default_factory=list)
    """Its kind with the evidence, and the recurring payment that it belongs to."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Where a transaction came from."""

    transaction_id: str
    account_id: str
    account_name: str
    """What people call the account."""
    source: str
    now: dict[str, Any] | None
    """Its row in the ledger; None when the bank shows it no more."""
    versions: list[Version]
    history: Rows
    rules: Rules

    def as_json(self) -> dict[str, Any]:
        """Returns the object of `explain --json`."""
        return {
            "transaction_id": self.transaction_id,
            "account_id": self.account_id,
            "source": self.source,
            "now": self.now,
            "versions": [one.as_json() for one in self.versions],
            "history": self.history,
            "rules": asdict(self.rules),
        }


def explanation(connection: "DuckDBPyConnection", transaction_id: str) -> Explanation:
    """Explains a transaction. `connection` has `ledger` and `raw`. Raises `WrongUsage` for an id that never was."""
    history = rows_of(
        connection, "select * from transaction_history where transaction_id = $1 order by valid_from", [transaction_id]
    )
    if not history:
        raise WrongUsage("No transaction has or had this id", _hint(connection, transaction_id))
    source, status = history[0]["source"], history[-1]["status"]
    return Explanation(
        transaction_id=transaction_id,
        account_id=history[0]["account_id"],
        account_name=_account_name(connection, history[0]["account_id"]),
        source=source,
        now=next(iter(rows_of(connection, "select * from transactions where transaction_id = $1", [transaction_id])), None),
        versions=_versions(connection, source, transaction_id),
        history=[{key: row[key] for key in _HISTORY} for row in history],
        rules=Rules(
            status=StatusRule(status, _FILE_RULE if source == FILE else bank_named(source).booked_rule),
            category=_postings(connection, transaction_id),
            transfer=_transfers(connection, transaction_id),
            in_transit=rows_of(connection, "select days, overdue from in_transit where transaction_id = $1", [transaction_id]),
            expected_payment=rows_of(
                connection,
                "select expected_payment_id, due_on, amount, status from expected_payments where transaction_id = $1",
                [transaction_id],
            ),
            splits=rows_of(
                connection,
                "select split, amount, currency, category, category_code, vat_rate, status, leg from transaction_splits"
                " where transaction_id = $1 order by split",
                [transaction_id],
            ),
            payment_kind=rows_of(connection, _KIND, [transaction_id]),
        ),
    )


def _account_name(connection: "DuckDBPyConnection", account_id: str) -> str:
    found = rows_of(connection, "select display_name from accounts where account_id = $1", [account_id])
    return line(found[0]["display_name"]) if found else account_id


def _hint(connection: "DuckDBPyConnection", part: str) -> str:
    """Returns the next step for a person who gave the beginning or the end of an id."""
    alike = rows_of(
        connection,
        "select distinct transaction_id from transaction_history"
        " where $1 <> '' and (starts_with(transaction_id, $1) or ends_with(transaction_id, concat(':', $1))) order by 1 limit 4",
        [part],
    )
    if not alike:
        return "Ids are in `transactions.transaction_id` of the ledger"
    if len(alike) > 3:
        return "Several begin or end so: give the whole `transactions.transaction_id`"
    return f"Give the whole id: {' or '.join(one['transaction_id'] for one in alike)}"


def _versions(connection: "DuckDBPyConnection", source: str, transaction_id: str) -> list[Version]:
    """Returns the versions that raw history keeps, oldest first, each with its import and dlt's load."""
    found = rows_of(
        connection,
        f"select * from raw.{source}.transactions where transaction_id = $1 order by _dlt_valid_from",
        [transaction_id],
    )
    return [
        Version(
            row["_dlt_valid_from"],
            row["_dlt_valid_to"],
            row["row_version"],
            brought_by=next(iter(_import(connection, row["import_id"])), {"import_id": row["import_id"]})
            | _file(connection, row.get("file_id")),
            load=None if source == FILE else next(iter(_load(connection, source, row["_dlt_valid_from"])), None),
            values={key: value for key, value in row.items() if key not in _OURS and value is not None},
        )
        for row in found
    ]


def _import(connection: "DuckDBPyConnection", import_id: str) -> Rows:
    return rows_of(
        connection,
        "select import_id, run_id, consent_id, depth, window_start, window_end, started_at, finished_at, status"
        " from imports where import_id = $1",
        [import_id],
    )


def _file(connection: "DuckDBPyConnection", file_id: str | None) -> dict[str, Any]:
    """Returns what is known of the file that a version stands in."""
    found = rows_of(connection, "select name as file, sha256 from imported_files where file_id = $1", [file_id])
    return found[0] if found else {}


def _load(connection: "DuckDBPyConnection", source: str, valid_from: Any) -> Rows:
    """Returns the load package that a version came with: dlt names it by the moment from which its rows are valid."""
    return rows_of(
        connection,
        f"select load_id, inserted_at from raw.{source}._dlt_loads"
        " where round(cast(load_id as decimal(20, 7)) * 1000000) = epoch_us($1) order by inserted_at limit 1",
        [valid_from],
    )


def _postings(connection: "DuckDBPyConnection", transaction_id: str) -> Rows:
    return rows_of(
        connection,
        "select leg, ledger_account, amount, currency, reporting_amount, reporting_currency, decided_by, vat_code, vat_percent"
        " from postings"
        " where transaction_id = $1 order by leg",
        [transaction_id],
    )


def _transfers(connection: "DuckDBPyConnection", transaction_id: str) -> Rows:
    found = rows_of(
        connection,
        "select * from transfers where out_transaction_id = $1 or in_transaction_id = $1 order by transfer_id",
        [transaction_id],
    )
    return [row | {"rule": _EVIDENCE[row["evidence"]]} for row in found]


def text(explained: Explanation) -> str:
    """Returns the explanation for people."""
    now, rules = explained.now, explained.rules
    lines = [
        f"{explained.transaction_id} of {explained.account_name}",
        "as it is shown now:" if now else "the bank shows it no more",
        *_fields(now or {}),
    ]
    for number, version in enumerate(explained.versions, start=1):
        until = f"until {_moment(version.shown_until)}" if version.shown_until else "(current)"
        brought = version.brought_by
        lines += [
            "",
            f"version {number}: valid from {_moment(version.shown_from)} {until}",
            f"  import {brought['import_id']}"
            + (f" of run {brought['run_id']}, {brought['status']}" if "run_id" in brought else ""),
            _origin(version),
            *_fields(version.values, "    "),
        ]
    lines += ["", f"status: {rules.status.status}. {rules.status.rule}"]
    lines += [_split(one) for one in rules.splits]
    for leg in rules.category:
        lines.append(f"booked: {leg['amount']:,.2f} {leg['currency']} on {leg['ledger_account']}, decided by {leg['decided_by']}")
    for one in rules.transfer:
        lines.append(f"transfer {one['transfer_id']} ({one['status']}): {one['rule']}")
        lines.append(f"  out of {one['out_transaction_id']}")
        lines.append(f"  into {one['in_transaction_id']}")
    for one in rules.payment_kind:
        lines += _kind(one)
    lines += [f"in transit for {one['days']} days" + (", overdue" if one["overdue"] else "") for one in rules.in_transit]
    lines += [f"fulfils {one['expected_payment_id']} ({one['status']})" for one in rules.expected_payment]
    return "\n".join(map(line, lines))


def _origin(version: Version) -> str:
    if "file" in version.brought_by:
        return f"  file {version.brought_by['file']}, {version.values['place']}, sha256 {version.brought_by['sha256']}"
    return f"  load {version.load['load_id']}" if version.load else "  load unknown: before the loads that are on record"


def _kind(one: dict[str, Any]) -> list[str]:
    lines = [f"kind: {one['payment_kind']}, by {one['evidence']}"] if one["payment_kind"] else []
    if one["recurring_id"]:
        lines.append(
            f"recurring {one['recurring_id']}: {one['cadence']}, {one['payments']} payments from {one['first_on']} to"
            f" {one['last_on']} of mostly {one['typical_amount']:,.2f} {one['currency']}, found by {one['rule']}"
        )
        lines.append(f"  {'ended: not paid around' if one['is_ended'] else 'the next is expected on'} {one['next_on']}")
    return lines


_SPLITS = {
    "posted": "on a leg of its own",
    "unequal": "not followed: the splits do not sum to the amount",
    "overruled": "not followed: a decision, a transfer between own accounts or a return is about the whole",
    "not_booked": "not followed: the transaction is not booked",
}


def _split(one: dict[str, Any]) -> str:
    amount = "an amount that is none" if one["amount"] is None else f"{one['amount']:,.2f} {one['currency']}"
    words = ", ".join(one[name] for name in ("category", "category_code", "vat_rate") if one[name])
    return f"split {one['split']}: {amount}, {words or 'no category'}; {_SPLITS[one['status']]}"


def _fields(row: dict[str, Any], indent: str = "  ") -> list[str]:
    return [f"{indent}{name}: {value}" for name, value in row.items() if value is not None and value != []]


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
