"""The history of runs: `runs.jsonl`, a line of JSON for each of the newest runs. Every ledger that is built shows it (`runs`).

Bookkeeping: no run and no ledger fails for it. A line that cannot be read is left out, and gone with the next run. Keys that this
version does not know stay in their line. Whoever writes holds the data directory's lock.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.store.atomic_files import replacing, write_private

if TYPE_CHECKING:
    from transforms.run_record import RunRecord

FILE = "runs.jsonl"
KEPT = 400
"""Runs that are kept: three months of four runs a day."""


@dataclass(frozen=True)
class RunHistory:
    """The runs that are on record, the newest last, each with its line."""

    runs: "Sequence[tuple[RunRecord, str]]" = ()
    trouble: str | None = None
    """A sentence about what of it could not be read."""
    readable: bool = True
    """False: there is a file that cannot be opened, so it must not be replaced."""

    @property
    def records(self) -> "list[RunRecord]":
        """Returns the records without their lines."""
        return [record for record, _ in self.runs]


def read(data_dir: Path) -> RunHistory:
    """Returns the history of runs; an empty one where there is no file. Of two lines of one run the later one counts."""
    import msgspec

    from transforms.run_record import RunRecord

    try:
        lines = (data_dir / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return RunHistory()
    except OSError as error:
        return RunHistory(trouble=f"the history of runs could not be read: {FILE} ({error.strerror})", readable=False)
    decoder = msgspec.json.Decoder(RunRecord)
    found: dict[str, tuple[RunRecord, str]] = {}
    damaged = 0
    for line in filter(None, lines):
        try:
            record, text = decoder.decode(line), line.decode()
        except ValueError:  # msgspec's own are ValueErrors, too
            damaged += 1
            continue
        found.pop(record.run_id, None)
        found[record.run_id] = record, text
    said = f"{damaged} line{'s' if damaged > 1 else ''} of {FILE} could not be read: the runs table lacks these runs"
    return RunHistory(list(found.values()), said if damaged else None)


def keep(data_dir: Path, record: "RunRecord") -> str | None:
    """Adds a run to the history, in place of an earlier line of it; returns a sentence about lines that could not be read."""
    import msgspec

    history = read(data_dir)
    if history.readable:
        others = [text for one, text in history.runs if one.run_id != record.run_id]
        lines = [*others, msgspec.json.encode(record).decode()][-KEPT:]
        with suppress(OSError), replacing(data_dir / FILE) as new:
            write_private(new, "".join(f"{line}\n" for line in lines))
    return history.trouble
