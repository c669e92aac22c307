"""What the vault costs with few and with many consents, in SQLite and, where its programs are installed, in PostgreSQL.

    python -m benchmarks.vault [--consents N ...]

Two consents share each account, and each has spent one import. A step is done several times, and the cheapest one counts, so
that it matters little what else the machine does.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sql

from pipelines.consents.vault import Vault
from pipelines.read.due import due
from pipelines.store.sql import as_text
from tests.consents.postgres import empty_database, programs, server

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIZES = (1_000, 100_000)
CUSTOMERS = 100
"""Consents that a run of one part of them asks for."""
_NUMBERS = "with recursive n(i) as (select 1 union all select i + 1 from n where i < :count)"
_FILL = (
    f"""{_NUMBERS} insert into consents (consent_id, source, institution, access_mode, status, created_at, last_import_at)
    select 'c-' || i, 'kontomatik', 'KontoBank', 'MULTIPLE', 'active', :created_at, :read_at from n""",
    f"{_NUMBERS} insert into consent_accounts (consent_id, account_id) select 'c-' || i, 'a-' || (i / 2) from n",
    f"""{_NUMBERS} insert into attempts (attempt_id, consent_id, kind, started_at, command_id, outcome)
    select 'a-' || i, 'c-' || i, 'reuse', :read_at, 'command-' || i, 'done' from n""",
)


def fill(vault: Vault, count: int) -> None:
    """Stores `count` consents with an account and an import of six hours ago."""
    values = {"count": count, "created_at": as_text(NOW - timedelta(days=9)), "read_at": as_text(NOW - timedelta(hours=6))}
    with vault.database.transaction() as connection:
        if vault.database.is_shared:
            connection.exec_driver_sql("set local session_replication_role = replica")  # no look-up of each row's consent
        for statement in _FILL:
            connection.execute(sql.text(statement), values)
    with vault.database.session() as connection:
        connection.exec_driver_sql("analyze")


def steps(vault: Vault, count: int) -> dict[str, Callable[[], object]]:
    """Returns what a run does with a vault of `count` consents, by name."""
    some = [vault.consent(f"c-{number}") for number in range(count // 2, count // 2 + CUSTOMERS)]
    return {
        "count and record an import": lambda: vault.quota.begin_attempt(some[0].consent_id, "reuse", None, NOW, per_day=4_000),
        f"which of {CUSTOMERS} consents are due": lambda: due(vault, some, timedelta(hours=5), NOW),
        "list all consents": vault.consents,
    }


def cheapest(work: Callable[[], object], tries: int = 20) -> float:
    """Returns the seconds that `work` takes when nothing disturbs it. What takes long is tried less often."""
    seconds: list[float] = []
    while len(seconds) < 3 or (len(seconds) < tries and sum(seconds) < 1):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def measured(count: int, url: str | None = None) -> dict[str, float]:
    """Returns the milliseconds of each step with that many consents, by name: in a file, or in the empty database at `url`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "vault.sqlite"
        with closing(Vault(path, None, url=url)) as vault:
            fill(vault, count)
            work = {"open": lambda: Vault(path, None, url=url).close()} | steps(vault, count)
            return {name: cheapest(do) * 1000 for name, do in work.items()}


def costs(sizes: Sequence[int]) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Yields kind of database, number of consents and the milliseconds of each step."""
    for count in sizes:
        yield "SQLite", count, measured(count)
    if (binaries := programs()) is not None:
        with server(binaries) as url:
            for count in sizes:
                yield "PostgreSQL", count, measured(count, empty_database(url))


def markdown(sizes: Sequence[int] = SIZES) -> str:
    """Returns the costs as a table."""
    lines: list[str] = []
    for kind, count, of_steps in costs(sizes):
        if not lines:
            lines = [f"| vault | consents | {' | '.join(of_steps)} |", "|---" * (2 + len(of_steps)) + "|"]
        lines.append(f"| {kind} | {count:,} | {' | '.join(f'{cost:,.1f} ms' for cost in of_steps.values())} |")
    return "\n".join([*lines, "", "The cheapest of up to 20 times, with the server's part. Two consents share each account."])


def main(arguments: list[str]) -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vault", description="Measures the vault.")
    parser.add_argument("--consents", type=int, nargs="+", default=list(SIZES), help="sizes of the vault (default: %(default)s)")
    print(markdown(parser.parse_args(arguments).consents))


if __name__ == "__main__":
    main(sys.argv[1:])
