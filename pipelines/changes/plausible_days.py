"""The days that a bank can mean. Rows of other days go into quarantine."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.store.shape import Shape


@dataclass(frozen=True)
class PlausibleDays:
    """The days that a row may be of. One row of the year 9999 would make every table with a row a day endless."""

    first: date = date(1970, 1, 1)
    last: date = date.max

    @classmethod
    def on(cls, day: date) -> "PlausibleDays":
        """Returns the days that a bank may show on `day`: none more than a year ahead."""
        return cls(last=day + timedelta(days=366))

    def sql(self, shape: "Shape") -> str:
        """Returns SQL that is true for a row of such a day."""
        days = f"window_on, {shape.booked_on}"
        return f"least({days}) >= date '{self.first}' and greatest({days}) <= date '{self.last}'"


def implausible_rows(
    connection: "DuckDBPyConnection", shape: "Shape", spooled: Path | None, plausible: PlausibleDays
) -> list[tuple[date, dict[str, str]]]:
    """Returns the spooled rows of days that no bank can mean: the day of each, and its fields as texts."""
    if spooled is None:
        return []
    cursor = connection.execute(
        "select window_on as the_day, cast(columns(* exclude (position)) as varchar)"
        f" from read_parquet({quoted(str(spooled))}, hive_partitioning = false)"
        f" where not ({plausible.sql(shape)}) order by position"
    )
    names = [column[0] for column in cursor.description or []][1:]
    return [(day, {name: text for name, text in zip(names, texts, strict=True) if text}) for day, *texts in cursor.fetchall()]


def quoted(text: str | None) -> str:
    """Returns `text` as an SQL literal: a view takes no parameters."""
    return "null" if text is None else "'" + text.replace("'", "''") + "'"
