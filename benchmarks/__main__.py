"""`make bench`: what runs cost, beside the physical limit and dlt alone, as tables in Markdown.

    python -m benchmarks [--rows N ...] [--kontomatik N] [--consents N ...] [--cells N ...] [--rounds N]
                         [--memory MB] [--into FILE]

All ways read the same sandbox in another process, in turn, and every time is that of a whole process. Seconds depend on the
machine and on what else it does; the ratios of one run hardly do.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import fleet, vault, xml_reading
from benchmarks.bank import PAGE, Bank, serving
from benchmarks.costs import Cost, cost_of, typical
from benchmarks.tables import LIMIT, OURS, Measured, growth, markdown

ARROW, REST_API = "dlt, Arrow", "dlt, rest_api"
SIZES = (10_000, 200_000, 1_000_000)
SMALL = 20_000
"""Rows up to which first runs are measured several times, and `rest_api` is tried, which reads all pages at every run."""
PAGES_AWAY, LATENCY = 250, 0.05
KONTOMATIK = 100_000
BEGIN, END = "<!-- make bench -->", "<!-- end of make bench -->"
"""Around the tables in a document."""


class Ways:
    """The ways to read one bank, each with a folder of its own."""

    def __init__(self, bank: Bank, folder: Path, names: tuple[str, ...]) -> None:
        self._bank = bank
        self._folder = folder
        self.names = names
        for name in names:
            (folder / name).mkdir(parents=True)

    def measure(self, way: str) -> Cost:
        """Returns what reading costs by this way: everything the first time, later what is new."""
        bank, folder = self._bank, self._folder / way
        login = (bank.url, bank.kontist_email, bank.kontist_password)
        arguments = {
            LIMIT: ("-m", "benchmarks.limit", "kontist", str(folder / "limit.duckdb"), *login),
            ARROW: ("-m", "benchmarks.peers", "arrow", str(folder), *login),
            REST_API: ("-m", "benchmarks.peers", "rest_api", str(folder), *login),
            OURS: ("-m", "pipelines", "run", "--json", "--data-dir", str(folder)),
        }
        return cost_of(arguments[way], folder, bank.environment(), bank)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _ways(bank: Bank, *names: str) -> Iterator[Ways]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Ways(bank, Path(folder), names)


def _in_turn(ways: Ways, label: str, found: dict[str, list[Cost]]) -> None:
    for way in ways.names:
        cost = ways.measure(way)
        found.setdefault(way, []).append(cost)
        _say(f"{label}, {way}: {cost.seconds:.2f} s, {cost.cpu:.2f} s of CPU, {cost.mebibytes:.0f} MiB, {cost.requests} requests")


def history(rows: int, rounds: int) -> Iterator[Measured]:
    """Yields what a history of `rows` rows costs: its first run, runs that find nothing new, and runs with three new rows."""
    _say(f"A world of {rows:,} rows is made ...")
    first: dict[str, list[Cost]] = {}
    nothing: dict[str, list[Cost]] = {}
    three: dict[str, list[Cost]] = {}
    firsts = rounds if rows <= SMALL else 1
    with serving(rows) as bank:
        if rows <= SMALL:
            with _ways(bank, REST_API) as ways:
                _in_turn(ways, f"{rows:,} rows, first run", first)
        for number in range(firsts):
            with _ways(bank, LIMIT, ARROW, OURS) as ways:
                _in_turn(ways, f"{rows:,} rows, first run", first)
                for _ in range(rounds if number == firsts - 1 else 0):
                    _in_turn(ways, f"{rows:,} rows, nothing new", nothing)
                    bank.add_rows(3)
                    _in_turn(ways, f"{rows:,} rows, 3 new rows", three)
    for what, found in (("first run", first), ("nothing new", nothing), ("3 new rows", three)):
        yield Measured(what, rows, {way: typical(several) for way, several in found.items()})


def far_away(rounds: int) -> Measured:
    """Returns what a first run costs when every answer takes 50 ms."""
    found: dict[str, list[Cost]] = {}
    rows = (PAGES_AWAY - 1) * PAGE
    with serving(rows, latency=LATENCY) as bank:
        for _ in range(rounds):
            with _ways(bank, LIMIT, ARROW, OURS) as ways:
                _in_turn(ways, f"{PAGES_AWAY} pages at {LATENCY * 1000:.0f} ms", found)
    label = f"first run, {PAGES_AWAY} pages at {LATENCY * 1000:.0f} ms"
    return Measured(label, rows, {way: typical(several) for way, several in found.items()})


def kontomatik(rows: int, rounds: int) -> Measured:
    """Returns what the first import of Kontomatik costs, in its live dialect. The limit reads a document of as many rows."""
    found: dict[str, list[Cost]] = {}
    with serving(rows) as bank, tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        document = folder / "import.xml"
        with document.open("wb") as file:
            file.writelines(xml_reading.answer(rows))
        for number in range(rounds):
            own = folder / str(number)
            own.mkdir()
            limit = ("-m", "benchmarks.limit", "xml", str(own / "limit.duckdb"), str(document))
            ours = ("-m", "pipelines", "connect", "kontomatik", "--mock", "--json", "--data-dir", str(own))
            for way, arguments in ((LIMIT, limit), (OURS, ours)):
                cost = cost_of(arguments, own, bank.environment(kontomatik=True), bank)
                found.setdefault(way, []).append(cost)
                _say(f"Kontomatik, {rows:,} rows, {way}: {cost.seconds:.2f} s, {cost.cpu:.2f} s of CPU, {cost.mebibytes:.0f} MiB")
    return Measured("first import of Kontomatik, live", rows, {way: typical(several) for way, several in found.items()})


def main(arguments: list[str]) -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures runs beside the limit and dlt alone.")
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES), help="histories of Kontist (default: %(default)s)")
    parser.add_argument("--kontomatik", type=int, help=f"rows of Kontomatik; 0: none (default: at most {KONTOMATIK:,})")
    parser.add_argument("--consents", type=int, nargs="+", default=list(vault.SIZES), help="of a vault (default: %(default)s)")
    parser.add_argument("--cells", type=int, nargs="*", default=list(fleet.SIZES), help="of a fleet (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=3, help=f"times that each is measured; first runs of more than {SMALL:,} rows once"
    )
    parser.add_argument("--memory", type=int, help="mebibytes of DuckDB in our runs (default: as a run chooses them)")
    parser.add_argument("--into", type=Path, metavar="FILE", help=f"put the tables there, too, between {BEGIN} and {END}")
    options = parser.parse_args(arguments)
    if options.memory is not None:
        os.environ["PIPELINES__MEMORY_MB"] = str(options.memory)
    found = [measured for rows in options.rows for measured in history(rows, options.rounds)]
    found.append(far_away(options.rounds))
    of_kontomatik = min(KONTOMATIK, max(options.rows)) if options.kontomatik is None else options.kontomatik
    if of_kontomatik:
        found.append(kontomatik(of_kontomatik, options.rounds))
    tables = f"{markdown(found, options.rounds)}\n{growth(found)}\n{vault.markdown(options.consents)}\n"
    if options.cells:
        tables += f"\n{fleet.markdown(options.cells)}\n"
    print(tables)
    if options.into is not None:
        _put(options.into, tables)


def _put(path: Path, tables: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"{path} has no place between {BEGIN} and {END}")
    before, _, rest = text.partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":  # the measuring processes import this file too
    main(sys.argv[1:])
