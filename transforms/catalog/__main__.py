"""Writes the documents and files that are generated from a built ledger.

    python -m transforms.catalog [LEDGER]      (default: data/ledger.duckdb)

They are `docs/catalogue.md`, `docs/er.svg`, the sources of the dbt project in `docs/dbt/` and the dashboard in `docs/superset/`.
"""

import sys
from pathlib import Path

from transforms.catalog.generate import write
from transforms.errors import TransformError

DEFAULT = Path("data/ledger.duckdb")
USAGE = "usage: python -m transforms.catalog [LEDGER]\n"


def main(arguments: list[str]) -> int:
    """Writes the files; 0 when done, 1 when there is no ledger to write them from, 2 for an option: it has none."""
    if arguments and arguments[0].startswith("-"):
        sys.stderr.write(USAGE)
        return 2
    try:
        write(Path(arguments[0]) if arguments else DEFAULT)
    except TransformError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
