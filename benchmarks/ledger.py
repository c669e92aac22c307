"""The ledger from a raw history made by SQL: seconds by number of transactions, with the memory that a run gives DuckDB.

    python -m benchmarks.ledger [TRANSACTIONS ...]

Half of the rows are Kontist's, half Kontomatik's with running balances; 3 % move between own accounts, 2 % have a forerunner.
"""

import os
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.store.raw_copy import MEMORY
from sources._columns import DAY, INSTANT, TEXT, TRUTH, WHOLE
from sources.kontist import columns as kontist
from sources.kontomatik import columns as kontomatik
from transforms.build import build

SIZES = (20_000, 1_000_000, 10_000_000)
ACCOUNTS = 5
"""Of each bank."""
_TYPES = {TEXT: "varchar", DAY: "date", INSTANT: "timestamptz", WHOLE: "bigint", TRUTH: "boolean"}

_NUMBERED = """
create temp table numbered as
select
    i,
    i % {accounts} as account,
    date '2022-01-01' + cast(i // {accounts} * 1500 // ({rows} // {accounts}) as integer) as day,
    i % 100 < 3 as own,
    -- both ends of a transfer: the same amount, out of one account and into the next
    case
        when i % 100 < 3 then if(i % 2 = 0, -1, 1) * (10_000 + (i // 2) % 50_000)
        when i % 7 = 0 then 50_000 + hash(i) % 300_000
        else -100 - cast(hash(i) % 20_000 as bigint)
    end as cents,
    hash(i // 3) % ({rows} // 40 + 10) as party
from range({rows}) as numbers (i);
"""

_FILLED = """
insert into kontist.accounts by name
select concat('kontist:', a) as account_id, concat('K', a) as source_account_id, concat('DE0000000000000000000', a) as iban,
    (select coalesce(sum(cents), 0) from numbered where account = a) as balance_cents, 'i-1' as import_id,
    concat('v', a) as row_version, timestamptz '2026-03-01 06:00:00Z' as _dlt_valid_from
from range({accounts}) as accounts (a);

insert into kontist.transactions by name
select concat('kontist:', account) as account_id, concat('kontist:', account, ':', i) as transaction_id, day as window_on,
    1 as occurrence, i as position_in_day, cast(i as varchar) as source_transaction_id, cents as amount_cents,
    if(i % 5 = 0, 'VAT_19', null) as category, concat('Party ', party, ' GmbH') as name,
    if(own, concat('DE0000000000000000000', (account + if(cents < 0, 1, {accounts} - 1)) % {accounts}),
        if(i % 2 = 0, concat('DE99', party), null)) as iban,
    concat('Invoice ', i) as purpose, if(i % 3 = 0, concat('E-', i), 'NOTPROVIDED') as e2e_id,
    cast(day as timestamp) at time zone 'Europe/Berlin' as booking_date,
    cast(day as timestamp) at time zone 'Europe/Berlin' as valuta_date,
    'SEPA_CREDIT_TRANSFER' as booking_type, 'i-1' as import_id, concat('v', i) as row_version,
    timestamptz '2026-03-01 06:00:00Z' as _dlt_valid_from
from numbered;

insert into kontist.transactions by name
select * replace ('before' as purpose, timestamptz '2026-02-01 06:00:00Z' as _dlt_valid_from, _dlt_valid_from as _dlt_valid_to,
    concat(row_version, 'b') as row_version)
from kontist.transactions where cast(source_transaction_id as bigint) % 50 = 0;

insert into kontomatik.accounts by name
select concat('kontomatik:', a) as account_id, concat('P', a) as source_account_id, 'consent' as consent_id,
    'Bank' as institution, 'account' as account_type, concat('PL0000000000000000000', a) as iban, 'PLN' as currency,
    (select coalesce(sum(cents), 0) * 0.01 from numbered where account = a) as balance, 'i-2' as import_id,
    concat('v', a) as row_version, timestamptz '2026-03-01 06:00:00Z' as _dlt_valid_from
from range({accounts}) as accounts (a);

insert into kontomatik.transactions by name
select concat('kontomatik:', account) as account_id,
    concat('kontomatik:', account, ':', md5(cast(i as varchar))) as transaction_id,
    day as window_on, 1 as occurrence, row_number() over (partition by account, day order by i) as position_in_day,
    day as transaction_on, day as booked_on, cents * 0.01 as amount, 'PLN' as currency,
    sum(cents * 0.01) over (partition by account order by i) as balance_after, concat('Rachunek ', i) as title,
    concat('Firma ', party, ' SA') as party,
    if(own, concat('PL0000000000000000000', (account + if(cents < 0, 1, {accounts} - 1)) % {accounts}),
        if(i % 2 = 0, concat('PL99', party), null)) as party_iban,
    ['["groceries"]', '["fuel","car"]', '["rent"]', null][i % 4 + 1] as labels,
    'i-2' as import_id, concat('v', i) as row_version, timestamptz '2026-03-01 06:00:00Z' as _dlt_valid_from
from numbered;

insert into kontist.imports by name
select 'i-k' || a as import_id, 'r-1' as run_id, concat('kontist:', a) as account_id,
    timestamptz '2026-03-01 06:00:00Z' as started_at,
    timestamptz '2026-03-01 06:00:00Z' as finished_at, 'complete' as status, date '2026-03-01' as window_end
from range({accounts}) as accounts (a);

insert into kontomatik.imports by name
select 'i-p' || a as import_id, 'r-1' as run_id, concat('kontomatik:', a) as account_id,
    timestamptz '2026-03-01 06:00:00Z' as started_at, timestamptz '2026-03-01 06:00:00Z' as finished_at, 'complete' as status,
    date '2022-01-01' as window_start, date '2026-03-01' as window_end
from range({accounts}) as accounts (a);
"""


def raw_history(path: Path, transactions: int) -> Path:
    """A raw history with so many current transactions."""
    with duckdb.connect(path, config={"memory_limit": "2GB", "temp_directory": str(path.with_suffix(".spill"))}) as connection:
        connection.execute("set preserve_insertion_order = false; set enable_progress_bar = false")
        for bank, module in (("kontist", kontist), ("kontomatik", kontomatik)):
            connection.execute(f"create schema {bank}")
            for name, schema in module.TABLES.items():
                columns = [f'"{field.name}" {_type(field.type)}' for field in schema]
                if "row_version" in schema.names:
                    columns += ["_dlt_valid_from timestamptz", "_dlt_valid_to timestamptz"]
                connection.execute(f"create table {bank}.{name} ({', '.join(columns)})")
        sizes = {"accounts": ACCOUNTS, "rows": transactions // 2}
        for statement in (_NUMBERED + _FILLED).split(";\n"):
            if statement.strip():
                connection.execute(statement.format(**sizes))
    return path


def _type(kind: pa.DataType) -> str:
    return f"decimal({kind.precision}, {kind.scale})" if pa.types.is_decimal(kind) else _TYPES[kind]


def measure(raw: Path, target: Path) -> tuple[float, float, int, list[str]]:
    """Seconds, peak memory in MiB, checks, and the names of those that failed; in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (raw, target))


def _measured(raw: Path, target: Path) -> tuple[float, float, int, list[str]]:
    started = time.perf_counter()
    built = build(raw, target, memory_limit=MEMORY)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    target.unlink()
    return seconds, peak, len(built.checks), [check.name for check in built.failed]


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Print what building and checking costs."""
    for transactions in sizes:
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
            raw = raw_history(Path(folder) / "raw.duckdb", transactions)
            best = min(measure(raw, Path(folder) / "ledger.duckdb") for _ in range(3 if transactions < 5_000_000 else 1))
        seconds, peak, checks, failed = best
        print(
            f"ledger of {transactions:,} transactions: {seconds:.2f} s, {seconds / transactions * 1_000_000:.1f} s a million,"
            f" peak {peak:.0f} MiB, {checks} checks{', failed: ' + ', '.join(failed) if failed else ''}",
            flush=True,
        )


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)
