"""SIGKILL at random moments of a run, fifty times: the next run is right each time, and every file opens.

python -m benchmarks.kills [TIMES]
"""

import random
import sys
import tempfile
from pathlib import Path

from sources.sandbox import World
from tests.end_to_end.killing import die_and_go_on
from tests.support import a_bank, command, environment


def main(times: int = 50) -> None:
    """Print how many kills hit a living run. Raises `AssertionError` at the first run that is not right afterwards."""
    moments = random.Random(7)
    with a_bank(World(transactions=300), dialect="live") as bank, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data"
        for first in (("connect", "kontomatik", "--mock"), ("run",)):
            done = command(folder, environment(bank), *first, "--json", "--data-dir", str(data))
            if done.status:
                sys.exit(f"{first[0]} ended with {done.status}: {done.err}")
        hits = sum(die_and_go_on(folder, data, bank, moments.uniform(0.2, 2.2)) for _ in range(times))
    print(f"{times} runs sent SIGKILL after 0.2 to 2.2 s, {hits} of them still alive: the next run was right every time")


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:]))
