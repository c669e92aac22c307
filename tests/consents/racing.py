"""Real processes that do one thing at the same moment, and share nothing but a vault's database.

`together` starts one interpreter, which imports everything and then forks. So the processes cost little and begin at once.
"""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sql

from pipelines.consents.quota import NoneLeft
from pipelines.consents.vault import Vault
from tests.patience import patient

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYS = 3
Opens = Callable[[], Vault]
Starts = Callable[[], object]


def together(work: str, processes: int, places: list[tuple[Path, str | None]]) -> list[str]:
    """Does `work` in that many processes at the same moment, at one place after the other; gives the lines that they wrote."""
    addresses = [f"{path}\n{url or ''}" for path, url in places]
    command = [sys.executable, "-m", "tests.consents.racing", work, str(processes), *addresses]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patient(90), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def opens(vault: Opens, start: Starts, _number: int) -> None:
    """Opens the vault, and notes that in the trail."""
    start()
    vault().note("c-1", "opened", "fine", datetime.now(UTC))


def spends(vault: Opens, start: Starts, number: int) -> None:
    """Spends on several days the imports of every consent, as far as there are any; each process begins at another consent."""
    opened = vault()
    consents = [one.consent_id for one in opened.consents()]
    start()
    for day in range(DAYS):
        for turn in range(len(consents)):
            consent_id = consents[(number + turn) % len(consents)]
            with suppress(NoneLeft):
                opened.quota.begin_attempt(consent_id, "reuse", None, NOON + timedelta(days=day), per_day=4)
                say(f"{day} {consent_id}")


def say(line: str) -> None:
    """Writes a line that no other process's line can break."""
    os.write(1, f"{line}\n".encode())


WORK: dict[str, Callable[[Opens, Starts, int], None]] = {"opens": opens, "spends": spends}


def forked(count: int, work: Callable[[Starts, int], None]) -> int:
    """Does `work` in `count` processes, which go on together from their `start()`; gives the number of those that failed."""
    (readiness, ready), (starts, start) = os.pipe(), os.pipe()

    def wait() -> None:
        os.write(ready, b".")
        os.read(starts, 1)  # until all are ready

    children = []
    for number in range(count):
        if (child := os.fork()) == 0:
            os.close(start)
            try:
                work(wait, number)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    for _ in children:
        os.read(readiness, 1)
    for end in (start, starts, ready, readiness):
        os.close(end)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def main(name: str, processes: str, *addresses: str) -> int:
    """Does the work at each address."""
    failed = 0
    for address in addresses:
        path, _, url = address.partition("\n")
        sql.create_engine(url or "sqlite://").dispose()  # imports the driver, once for all

        def work(start: Starts, number: int, path: str = path, url: str | None = url or None) -> None:
            WORK[name](lambda: Vault(Path(path), None, url=url), start, number)

        failed += forked(int(processes), work)
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
