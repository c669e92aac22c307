"""The days that a bank can mean; rows of other days are quarantined."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.store.shape import Shape


@dataclass(frozen=True)
class Believable:
    """The days that a row may be of. One of the year 9999 would draw out every table that has a row a day."""

    first: date = date(1970, 1, 1)
    last: date = date.max

    @classmethod
    def on(cls, day: date) -> "Believable":
        """What a bank may show on `day`: nothing that lies more than a year ahead."""
        return cls(last=day + timedelta(days=366))

    def sql(self, shape: "Shape") -> str:
        """SQL that is true for a row of such a day."""
        days = f"window_on, {shape.booked_on}"
        return f"least({days}) >= date '{self.first}' and greatest({days}) <= date '{self.last}'"


ANY_DAY = Believable()


def unbelievable(
    connection: "DuckDBPyConnection", shape: "Shape", spooled: Path | None, believable: Believable
) -> list[tuple[date, dict[str, str]]]:
    """The spooled rows of days that no bank can mean: the day of each, and what the bank said of it as texts."""
    if spooled is None:
        return []
    cursor = connection.execute(
        "select window_on as the_day, cast(columns(* exclude (position)) as varchar)"
        f" from read_parquet({quoted(str(spooled))}, hive_partitioning = false)"
        f" where not ({believable.sql(shape)}) order by position"
    )
    names = [column[0] for column in cursor.description or []][1:]
    return [(day, {name: text for name, text in zip(names, texts, strict=True) if text}) for day, *texts in cursor.fetchall()]


def quoted(text: str | None) -> str:
    """`text` inside SQL: a view takes no parameters."""
    return "null" if text is None else "'" + text.replace("'", "''") + "'"
