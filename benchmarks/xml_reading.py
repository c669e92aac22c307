"""How fast a long Kontomatik history is read, against the plain way of doing it. `python -m benchmarks.xml_reading [ROWS]`.

Seconds depend on the machine, ratios hardly do. The plain way is `lxml.etree.fromstring`, a dict a row, and a table of them:
what it holds in memory grows with the history, what the reader holds does not.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

ROWS = 100_000
FIRST_DAY = date(2021, 1, 1)


def answer(rows: int, chunk: int = 100) -> Iterator[bytes]:
    """A finished import in the live dialect, as it would arrive."""
    yield (
        b'<?xml version="1.0" encoding="utf-8"?><reply status="200 OK"><command id="700" state="successful"'
        b' target="KontoBankApi" institution="KontoBank"><result><accounts><account><name>Konto</name>'
        b"<iban>PL45999900010000000000004242</iban><currencyName>PLN</currencyName><moneyTransactions>"
    )
    for start in range(rows, 0, -chunk):
        yield "".join(_row(number) for number in range(start, max(start - chunk, 0), -1)).encode()
    yield b"</moneyTransactions></account></accounts></result></command></reply>"


def _row(number: int) -> str:
    day = FIRST_DAY + timedelta(days=number // 50)
    return f"""
            <moneyTransaction>
              <transactionOn>{day}</transactionOn>
              <bookedOn>{day}</bookedOn>
              <currencyAmount>-{number % 1000}.{number % 100:02d}</currencyAmount>
              <currencyBalance>{number}.40</currencyBalance>
              <title>BILET {number}   TESTOWO</title>
              <party>PRZEWOZY SA</party>
              <partyIban>PL04999900020000000000001717</partyIban>
              <kind>PŁATNOŚĆ KARTĄ</kind>
              <status>DONE</status>
              <labels><label>public transport</label><label>monthly</label></labels>
            </moneyTransaction>"""


class Counting:
    """A spool that only counts."""

    def __init__(self) -> None:
        self.rows = 0

    def add(self, rows: Any) -> None:
        """Count."""
        self.rows += rows.num_rows

    def reject(self, *_: Any) -> None:
        """No row is odd here."""
        raise AssertionError

    def clear(self) -> None:
        """Nothing is kept anyway."""


def streamed(chunks: Iterable[bytes]) -> int:
    """Our reader."""
    from sources.kontomatik.reply import read_reply

    reply = read_reply(chunks, Counting)
    if reply.result is None:
        raise AssertionError(reply)
    spool: Any = reply.result.accounts[0].spool
    return int(spool.rows)


def plain(chunks: Iterable[bytes]) -> int:
    """The whole document at once, a dict a row: the same columns, without checks."""
    import pyarrow as pa
    from lxml import etree

    days, money = ("transactionOn", "bookedOn"), ("currencyAmount", "currencyBalance")
    rows = []
    for row in etree.fromstring(b"".join(chunks)).iterfind(".//moneyTransaction"):
        found: dict[str, Any] = {one.tag: one.text for one in row}
        found |= {name: date.fromisoformat(found[name]) for name in days}
        found |= {name: Decimal(found[name]) for name in money}
        found["labels"] = json.dumps(sorted(label.text or "" for label in row.iterfind("labels/label")))
        rows.append(found)
    return int(pa.Table.from_pylist(rows).num_rows)


WAYS = {"streamed": streamed, "plain": plain}


def measure(way: str, rows: int) -> tuple[float, float]:
    """Seconds and megabytes of one way, each in a process of its own."""
    found = []
    for what in ("seconds", "megabytes"):
        command = [sys.executable, "-m", "benchmarks.xml_reading", way, str(rows), what]
        found.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return found[0], found[1]


def _child(way: str, rows: int, what: str) -> None:
    WAYS[way](answer(1))  # imports, and the libraries' own warming up
    if what == "seconds":  # with the answer made before
        body: Iterable[bytes] = list(answer(rows))
        started = time.perf_counter()
        read = WAYS[way](body)
        print(time.perf_counter() - started)
    else:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        read = WAYS[way](answer(rows))
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    if read != rows:
        raise AssertionError(way)


def main(rows: int = ROWS) -> None:
    """Print what each way takes for `rows` and for four times as many."""
    found = {(way, count): measure(way, count) for count in (rows, 4 * rows) for way in WAYS}
    print(f"{'way':<10}{'rows':>10}{'seconds':>10}{'MB more':>10}")
    for (way, count), (seconds, megabytes) in found.items():
        print(f"{way:<10}{count:>10,}{seconds:>10.2f}{megabytes:>10.0f}")
    for count in (rows, 4 * rows):
        (ours, our_memory), (theirs, their_memory) = found["streamed", count], found["plain", count]
        print(f"{count:,} rows: {ours / theirs:.2f} of the plain way's time, {our_memory / their_memory:.2f} of its memory")


if __name__ == "__main__":
    match sys.argv[1:]:
        case [way, count, what]:
            _child(way, int(count), what)
        case [count]:
            main(int(count))
        case _:
            main()
