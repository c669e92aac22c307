"""Whole processes against a sandbox in another process: the first run, one with nothing new, and `--help`.

Times on shared machines are noisy: each is also given as a multiple of what starting Python and importing the libraries costs.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from pipelines.consents.keyring import new_vault_key
from sources.sandbox import World, running

IMPORTS = "import dlt, duckdb, httpx, lxml.etree, pyarrow.parquet, sqlalchemy, cryptography.fernet"


def _serve(transactions: int, pipe: Connection) -> None:
    world = World(transactions=transactions)
    with running(world, imports_per_day=1000) as bank:
        pipe.send((bank.url, world.kontomatik_api_key, world.kontist_email, world.kontist_password))
        pipe.recv()


@contextmanager
def bank(transactions: int) -> Iterator[dict[str, str]]:
    """The environment of a run against a sandbox with so many transactions a bank."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(transactions, theirs))
    process.start()
    url, key, email, password = ours.recv()
    try:
        yield os.environ | {
            "SOURCES__KONTOMATIK__BASE_URL": f"{url}/v1",
            "SOURCES__KONTOMATIK__API_KEY": key,
            "SOURCES__KONTOMATIK__POLL_INTERVAL": "0.02",
            "SOURCES__KONTOMATIK__IMPORTS_PER_DAY": "1000",
            "SOURCES__KONTIST__BASE_URL": url,
            "SOURCES__KONTIST__EMAIL": email,
            "SOURCES__KONTIST__PASSWORD": password,
            "SOURCES__KONTIST__REQUESTS_PER_MINUTE": "0",
            "PIPELINES__VAULT_KEY": new_vault_key(),
        }
    finally:
        ours.send("end")
        process.join()


def timed(*arguments: str, environment: dict[str, str] | None = None) -> tuple[float, float, str]:
    """Seconds of a whole process, its peak memory in MiB, and its output."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, done.stdout


def main(transactions: int = 10_000) -> None:
    """Print what runs cost."""
    start = min(timed("-c", IMPORTS)[0] for _ in range(3))
    print(f"starting Python with the libraries: {start:.2f} s")
    print(f"--help: {min(timed('-m', 'pipelines', '--help')[0] for _ in range(5)):.3f} s (at most 0.15)")
    with bank(transactions) as environment, tempfile.TemporaryDirectory() as folder:
        both = environment | {"PIPELINES__DATA_DIR": str(Path(folder) / "data")}
        # The consent first, with a bank that shows nothing else, so that `run` is what reads both banks' histories.
        told = timed("-m", "pipelines", "connect", "kontomatik", "--mock", "--json", environment=both)
        first = timed("-m", "pipelines", "run", "--json", environment=both)
        print(f"connect and import {transactions:,} from Kontomatik: {told[0]:.2f} s, {told[0] / start:.1f} starts")
        print(f"first run of the other {transactions:,}: {first[0]:.2f} s, {first[0] / start:.1f} starts")
        again = [timed("-m", "pipelines", "run", "--json", environment=both) for _ in range(5)]
        report = json.loads(again[-1][2])
        best = min(seconds for seconds, _, _ in again)
        print(f"nothing new: {best:.2f} s, {best / start:.1f} starts (at most 2.5 s, aim 1.5): {report['seconds']}")
        print(f"  requests: { {name: bank['requests'] for name, bank in report['sources'].items()} }")
        print(f"  peak memory of any of these: {again[-1][1]:.0f} MiB")
    print("In a sandbox of its own, both histories in one first run:")
    seconds, memory = first_of_both(transactions)
    print(f"both banks, {transactions:,} each: {seconds:.2f} s (at most 4), {seconds / start:.1f} starts, {memory:.0f} MiB")


def first_of_both(transactions: int) -> tuple[float, float]:
    """Seconds and MiB of one first run over both banks: `--sandbox` with a larger world, bank and reader in one process."""
    script = (
        "import sys, sources.sandbox as s; w, n = s.World, int(sys.argv.pop());"
        "s.World = lambda *a, **k: w(*a, transactions=n, **k);"
        "from pipelines.commands.cli import main; main(sys.argv[1:])"
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("-c", script, "run", "--sandbox", "--json", "--data-dir", folder, str(transactions))
        seconds, memory, _ = timed(*arguments)
    return seconds, memory
