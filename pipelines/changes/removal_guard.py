"""Holds rows for confirmation that a bank suddenly no longer shows, or alters (DECISIONS, "A bank that suddenly shows less").

Works on three temporary tables of `pipelines.changes.diff`: `answered` (all that the bank showed), `compared` (one row a
transaction that is shown or known) and the table of the rows to load. A bank without ids shows a corrected row as one that is
gone and a new one, so the guard first pairs both. While something is held, everything else of the answer loads.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.settings import Thresholds

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.store.shape import Shape


READS_TO_CONFIRM = 3
TIME_TO_CONFIRM = timedelta(days=1)


@dataclass(frozen=True)
class Held:
    """Booked rows that are held for confirmation: `gone` and `altered` of the `of` known ones from `since` on."""

    since: date
    digest: str
    gone: int
    altered: int
    of: int

    def sentence(self) -> str:
        """Returns what the bank shows, in words."""
        parts = [f"no longer shows {self.gone} of {self.of} booked rows"] if self.gone else []
        if self.altered:
            parts.append(f"shows {self.altered} of {self.of} booked rows with another amount, day or currency")
        return "the bank " + " and ".join(parts)


@dataclass(frozen=True)
class _Match:
    """One way to recognise a row that is gone in a new one: equal keys, SQL. A key that is null matches nothing."""

    gone: str
    new: str
    kind: str = "'altered'"
    """SQL: `altered`, `perhaps` (only if it explains most), `same` (nothing but the id differs), `booking` (of a reservation)."""
    rows: str = "was_booked"
    """Which of the rows that are gone."""


def _on_its_day(amount: str) -> str:
    return f"concat_ws('|', day, {_exact(amount)})"


def _exact(amount: str) -> str:
    return f"cast({amount} as decimal(38, 2))"


def _equal(key: str, kind: str = "'altered'", rows: str = "was_booked") -> _Match:
    return _Match(key, key, kind, rows)


RESERVED = "was_pending"
FIRST = (
    _equal(f"concat_ws('|', {_exact('amount')}, currency)", "'booking'", RESERVED),
    _equal("about", "'booking'", RESERVED),
    _equal(f"concat_ws('|', day, {_exact('amount')}, currency)", "if(new.is_booked, 'same', 'altered')"),
)
ONE_FAULT = (
    _equal(_on_its_day("abs(amount)")),
    _Match(_on_its_day("abs(amount) * 100"), _on_its_day("abs(amount)")),
    _Match(_on_its_day("abs(amount)"), _on_its_day("abs(amount) * 100")),
)
"""What one fault makes of all rows: the other sign, a hundred times the amount. What explains most is tried first."""
MOVED = _equal(f"concat_ws('|', {_exact('amount')}, coalesce(about, ''))", "if(lost.about is null, 'perhaps', 'altered')")
"""Another day, where a row's id does not survive that."""
CORRECTED = _equal("day || '|' || about")
ANY_OF_ITS_DAY = (_equal("cast(day as varchar)"), _equal("cast(day as varchar)", "'booking'", RESERVED))


class RemovalGuard:
    """Weighs what an answer removes and alters, and holds it back."""

    def __init__(self, connection: "DuckDBPyConnection", thresholds: Thresholds) -> None:
        self._connection = connection
        self._thresholds = thresholds

    def weigh(self, shape: "Shape", rows: str, account_id: str, claim: date) -> Held | None:
        """Returns what has to be held of the answer in `compared`; None when nothing is."""
        known, gone, altered = self._row(
            "select count(*) filter (was_booked and known_on >= $claim), count(*) filter (gone and was_booked),"
            " count(*) filter (altered) from compared",
            {"claim": claim},
        )
        # pairing only turns what is gone into what is altered: mostly the counts alone are enough
        if not self._thresholds.hold(known, gone, altered) and not self._thresholds.hold(known, 0, gone + altered):
            return None
        self._pair(shape, rows, account_id, claim, certain_only=False)
        paired, renewed = self._row(
            "select count(*) filter (kind in ('altered', 'perhaps')), count(*) filter (kind = 'same')"
            " from pairs join ends on transaction_id = gone_id where not outside"
        )
        gone, altered = gone - paired - renewed, altered + paired
        if not self._thresholds.hold(known, gone, altered):
            return None
        (digest,) = self._row(
            """
            select md5(string_agg(one, ' ' order by one)) from (
                select concat_ws('|', transaction_id, day, amount, currency, mark, is_booked) as one from compared where altered
                union all
                select transaction_id from compared
                where gone and was_booked and transaction_id not in (select gone_id from pairs where kind = 'same')
                union all
                select concat_ws('|', new_id, day, amount, currency) from pairs join compared on transaction_id = new_id
                where kind in ('altered', 'perhaps')
            )
            """
        )
        return Held(claim, digest, gone, altered, known)

    def hold_back(self, shape: "Shape", rows: str, account_id: str, claim: date) -> None:
        """Takes held rows out of the table `rows`, and puts the known versions in their place: the rest loads around them.

        New rows that would take the place of a held one wait too: loaded beside it, the payment would be there twice. A new row
        without text that only shares its amount with a row of another day waits where most lost rows have such a partner.
        """
        self._connection.execute(
            f"""
            delete from {rows}
            where transaction_id in (select transaction_id from compared where altered)
                or transaction_id in (select new_id from pairs where kind = 'altered')
                or transaction_id in (
                    select new_id from pairs
                    where kind = 'perhaps' and (
                        2 * (select count(*) from pairs where kind in ('altered', 'perhaps'))
                        >= (select count(*) from ends where gone and was_booked and not outside)
                    )
                )
            """
        )
        self._connection.execute(
            f"""
            insert into {rows} by name
            select
                {", ".join(shape.schema.names)},
                {shape.booked} as booked,
                false as late,
                {shape.version(without=shape.shifting)} as content
            from {shape.table}
            where account_id = $account and _dlt_valid_to is null and window_on >= $claim
                and transaction_id in (
                    select transaction_id from compared where altered or gone
                    except
                    select gone_id from pairs where kind in ('same', 'booking')
                )
            """,
            {"account": account_id, "claim": claim},
        )

    def hold_back_replacements(self, shape: "Shape", rows: str, account_id: str, claim: date) -> int:
        """Takes rows that look like altered known ones out of an answer that was cut short; returns their number.

        A row that is absent there may still exist, so its replacement waits for a whole answer. A single one loads.
        """
        self._pair(shape, rows, account_id, claim, certain_only=True)
        known, altered = self._row(
            "select (select count(*) from compared where was_booked and known_on in (select shown_on from compared)),"
            " (select count(*) from pairs where kind = 'altered')"
        )
        if not altered or not self._thresholds.hold(known, 0, altered):
            return 0
        self._connection.execute(f"delete from {rows} where transaction_id in (select new_id from pairs where kind = 'altered')")
        return int(altered)

    def _pair(self, shape: "Shape", rows: str, account_id: str, claim: date, *, certain_only: bool) -> None:
        """Creates `pairs`: each row that is gone and the new one in its place, at most one each; and `ends`: all candidates.

        Late rows may take the place of one before the window, whose absence is not claimed.
        """
        self._connection.execute(
            f"""
            create or replace temp table ends as
            select transaction_id, gone, was_booked, was_pending, is_booked, day, amount, currency, about, false as outside
            from compared
            where gone or news
            union all
            select transaction_id, true, true, false, false, window_on, {shape.weighed}, true
            from {shape.table}
            where account_id = $account and _dlt_valid_to is null and {shape.booked} and window_on < $claim
                and window_on in (select window_on from {rows} where late)
                and transaction_id not in (select transaction_id from {rows})
                and (window_on, {shape.amount}) not in (select (window_on, {shape.amount}) from answered)
            """,
            {"account": account_id, "claim": claim},
        )
        self._connection.execute("create or replace temp table pairs (gone_id varchar, new_id varchar, kind varchar)")
        one_fault = ONE_FAULT if shape.has_ids or certain_only else (*ONE_FAULT, MOVED)
        for match in FIRST:
            self._pair_by(match)
        for match in sorted(one_fault, key=self._explains, reverse=True):
            self._pair_by(match)
        for match in (CORRECTED, *(() if certain_only else ANY_OF_ITS_DAY)):
            self._pair_by(match)

    def _pair_by(self, match: _Match) -> None:
        self._connection.execute(f"insert into pairs {_matching(match)}")

    def _explains(self, match: _Match) -> int:
        (rows,) = self._row(f"select count(*) from ({_matching(match)})")
        return int(rows)

    def _row(self, query: str, parameters: Any = None) -> tuple[Any, ...]:
        (row,) = self._connection.execute(query, parameters).fetchall()
        return tuple(row)


def _matching(match: _Match) -> str:
    """Returns SQL for the pairs among the rows that have no partner yet."""
    return f"""
        with

        free as (
            from ends
            where transaction_id not in (select gone_id from pairs) and transaction_id not in (select new_id from pairs)
        ),

        lost as (
            select *, {match.gone} as key, row_number() over (partition by key order by outside, transaction_id) as nth
            from free where gone and {match.rows}
        ),

        new as (
            select *, {match.new} as key, row_number() over (partition by key order by transaction_id) as nth
            from free where not gone
        )

        select lost.transaction_id as gone_id, new.transaction_id as new_id, {match.kind} as kind
        from lost join new using (key, nth)
    """
