"""A second environment whose DuckDB has the extensions of a lake: they are packages for one version, which is not ours.

It is made once, beside those of `make matrix`, and stays. Programs of ours run in it as they are: only DuckDB is another one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.patience import patient

ROOT = Path(__file__).parents[2]
DUCKDB = "1.5.5"
EXTENSIONS = ("ducklake", "postgres-scanner", "httpfs")
LOUD = f"NOBODY HAS TRIED THE LAKE: DuckDB {DUCKDB} and its extensions cannot be installed here by pip"


def lake_environment() -> dict[str, str]:
    """Returns the environment variables of a process that uses it; skips the test where it cannot be made."""
    folder = ROOT / ".matrix" / f"lake-{DUCKDB}-{sys.version_info.major}.{sys.version_info.minor}"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            begun = Path(f"{folder}.begun")
            shutil.rmtree(begun, ignore_errors=True)
            _make(begun)
            begun.rename(folder)
    return {**os.environ, "PYTHONPATH": str(folder / "packages"), "HOME": str(folder / "home")}


def _make(folder: Path) -> None:
    packages, home = folder / "packages", folder / "home"
    home.mkdir(parents=True)
    wanted = [f"duckdb=={DUCKDB}", *(f"duckdb-extension-{name}=={DUCKDB}" for name in EXTENSIONS)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries=1", "install", "--quiet", "--no-deps"]
    try:
        subprocess.run([*pip, "--no-compile", "--target", packages, *wanted], check=True, timeout=patient(120))
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(LOUD)
    files = [f"install '{path}'" for path in packages.glob("duckdb_extension_*/**/*.duckdb_extension")]
    assert len(files) == len(EXTENSIONS)
    install = [sys.executable, "-c", f"import duckdb; duckdb.execute({'; '.join(files)!r})"]
    subprocess.run(install, check=True, env={**os.environ, "PYTHONPATH": str(packages), "HOME": str(home)})
    for path in packages.glob("duckdb_extension_*"):
        shutil.rmtree(path)
