"""A program that keeps the ledger open never stops a run, and a run never changes what it reads."""

import subprocess
import sys
from pathlib import Path

from pipelines.read.options import Options
from tests.support import FirstRuns, a_bank, read, rows

READER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
for _ in sys.stdin:
    print(connection.execute("select count(*) from transactions").fetchone()[0], flush=True)
"""
COUNT = "select count(*) from transactions"


def test_an_open_reader_waits_for_no_run_and_no_run_for_it(first_runs: FirstRuns, tmp_path: Path) -> None:
    world, kontist = first_runs.copy(tmp_path, sources=("kontist",)), Options(sources=("kontist",))
    with a_bank(world) as bank:
        ((before,),) = rows(tmp_path, COUNT)
        with subprocess.Popen(
            [sys.executable, "-c", READER, str(tmp_path / "ledger.duckdb")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as reader:
            assert reader.stdin and reader.stdout

            def counted() -> int:
                print(file=reader.stdin, flush=True)
                return int(reader.stdout.readline()) if reader.stdout else -1

            assert counted() == before
            world.append("4711", amount="-1.00")
            assert read(bank, tmp_path, kontist).status == "ok"
            assert counted() == before  # its file is the one that it opened
            assert rows(tmp_path, COUNT) == [(before + 1,)]
            reader.stdin.close()
