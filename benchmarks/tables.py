"""Shows what was measured as tables in Markdown."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from benchmarks.costs import Cost

LIMIT, OURS = "limit", "kontoledger"


@dataclass(frozen=True)
class Measured:
    """One line: what was done with how many rows, and what it cost by each way."""

    what: str
    rows: int
    costs: Mapping[str, Cost]


def markdown(found: Sequence[Measured], rounds: int) -> str:
    """Returns the table of seconds and ratios, and where they come from."""
    peers = [way for one in found for way in one.costs if way not in (LIMIT, OURS)]
    peers = sorted(set(peers))
    head = [
        "",
        "rows",
        "limit",
        *peers,
        OURS,
        "of the limit",
        *(f"of {peer}" for peer in peers[:1]),
        "requests",
        "CPU (of the limit's)",
        "peak",
    ]
    lines = [head, ["---"] * len(head)]
    for one in found:
        ours, limit = one.costs[OURS], one.costs.get(LIMIT)
        cells = [one.what, f"{one.rows:,}", _seconds(limit), *(_seconds(one.costs.get(peer)) for peer in peers), _seconds(ours)]
        cells += [_ratio(ours, limit), *(_ratio(ours, one.costs.get(peer)) for peer in peers[:1])]
        cpu = "" if limit is None else f" ({ours.cpu / limit.cpu:.1f} ×)"
        lines.append([*cells, f"{ours.requests:,}", f"{ours.cpu:.1f} s{cpu}", f"{ours.mebibytes:.0f} MiB"])
    where = f"{os.cpu_count()} processors, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    load = f"{os.getloadavg()[2]:.1f} processes wanted a processor (the benchmark itself: about 1.5)"
    return (
        f"{_table(lines)}\n\nWhole processes, medians of {rounds}; {where}; in the last 15 minutes {load}. {_of_the_bank(found)}"
    )


def growth(found: Sequence[Measured]) -> str:
    """Returns how time grows with the rows: the time at each size over that at the one before."""
    lines = [["", "rows", "times the rows", "times the time", "times the CPU", "limit: times the time"], ["---"] * 6]
    lines += [line for what in dict.fromkeys(one.what for one in found) for line in _grown([a for a in found if a.what == what])]
    return f"\n{_table(lines)}\n" if len(lines) > 2 else ""


def _grown(sizes: Sequence[Measured]) -> Iterator[list[str]]:
    ordered = sorted(sizes, key=lambda one: one.rows)
    for less, more in pairwise(ordered):
        before, after = less.costs[OURS], more.costs[OURS]
        limits = f"{more.costs[LIMIT].seconds / less.costs[LIMIT].seconds:.1f}"
        times = [f"{after.seconds / before.seconds:.1f}", f"{after.cpu / before.cpu:.1f}", limits]
        yield [more.what, f"{less.rows:,} to {more.rows:,}", f"{more.rows / less.rows:.0f}", *times]


def _of_the_bank(found: Sequence[Measured]) -> str:
    """Returns a sentence about the sandbox's own work: it must not be what is measured."""
    largest = max((one for one in found if one.costs[OURS].requests), key=lambda one: one.costs[OURS].requests, default=None)
    if largest is None:
        return ""
    ours = largest.costs[OURS]
    return f"The sandbox itself needs {ours.bank_cpu / ours.requests * 1000:.2f} ms of CPU a request."


def _seconds(cost: Cost | None) -> str:
    return "" if cost is None else f"{cost.seconds:.2f} s"


def _ratio(ours: Cost, theirs: Cost | None) -> str:
    return "" if theirs is None else f"{ours.seconds / theirs.seconds:.1f} ×"


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
