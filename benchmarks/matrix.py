"""Runs the tests on every Python and DuckDB that is supported, each in a virtual environment of its own, with nothing pinned.

`make matrix` runs the whole suite, `make matrix ARGS="tests/changes -x"` a part of it: ARGS are pytest's.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".matrix"
PYTHONS = ("3.11", "3.12", "3.13")


@dataclass(frozen=True)
class Environment:
    """One line of the table: a Python, and what is asked of pip beside the project itself."""

    python: str
    duckdb: str
    wanted: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Its virtual environment."""
        return PLACE / f"python{self.python}-duckdb-{self.duckdb}"


def main(arguments: list[str]) -> int:
    """Returns 0 when every Python was found and every environment passed."""
    found = {version: path for version in PYTHONS if (path := interpreter(version))}
    told = [(f"Python {one}", "", "missing: this machine has no such interpreter") for one in PYTHONS if one not in found]
    passed = not told
    for environment in environments(list(found)):
        print(f"\n== Python {environment.python}, {environment.duckdb} DuckDB", flush=True)
        good, result = tried(environment, found[environment.python], arguments)
        passed = passed and good
        told.append((f"Python {environment.python}", versions(environment), result))
    print("\n" + table(told))
    return 0 if passed else 1


def environments(pythons: list[str]) -> list[Environment]:
    """Returns the newest of everything on each Python, and the oldest DuckDB on the oldest of them."""
    oldest = [Environment(version, "oldest", (f"duckdb=={oldest_duckdb()}",)) for version in pythons[:1]]
    return oldest + [Environment(version, "newest") for version in pythons]


def oldest_duckdb() -> str:
    """Returns the lowest version that `pyproject.toml` allows."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    floors = [found.group(1) for one in listed if (found := re.match(r"duckdb>=([0-9.]+)", one))]
    if len(floors) != 1:
        raise SystemExit("pyproject.toml names no lowest DuckDB")
    return floors[0]


def interpreter(version: str) -> str | None:
    """Returns a Python of this version that starts, from pyenv or the path; None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    ours = sorted(pyenv.glob(f"{version}.*/bin/python"), key=lambda path: _number(path.parts[-3]), reverse=True)
    for path in [*map(str, ours), *filter(None, [shutil.which(f"python{version}"), sys.executable])]:
        asked = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.startswith(f"Python {version}."):
            return path
    return None


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]+", version))


def tried(environment: Environment, python: str, arguments: list[str]) -> tuple[bool, str]:
    """Returns whether the tests passed there, and what the table says about it."""
    own = environment.folder / "bin" / "python"
    pip = [str(own), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--upgrade"]
    newest = ["--upgrade-strategy", "eager"]
    steps = [[python, "-m", "venv", str(environment.folder)], [*pip, "pip"]]
    steps.append([*pip, *newest, ".", "--group", "test", "--group", "lint", *environment.wanted])
    for step in steps:
        if subprocess.run(step, cwd=ROOT, check=False).returncode:
            return False, "could not be installed"
    told = subprocess.run([str(own), "-m", "pytest", *(arguments or ["-n", "3"])], cwd=ROOT, check=False).returncode
    return told == 0, "passed" if told == 0 else f"failed (pytest ended with {told})"


def versions(environment: Environment) -> str:
    """Returns which DuckDB was tried."""
    asking = "import duckdb, sys; print(sys.version.split()[0], 'DuckDB', duckdb.__version__)"
    asked = subprocess.run(
        [str(environment.folder / "bin" / "python"), "-c", asking], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or f"{environment.duckdb} DuckDB"


def table(rows: list[tuple[str, str, str]]) -> str:
    """Returns the rows as lines with straight columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{first:<{widths[0]}}  {second:<{widths[1]}}  {third}" for first, second, third in rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
