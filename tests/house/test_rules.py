"""The rules of the house, as far as a machine can hold them."""

import ast
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from tests.patience import patient

ROOT = Path(__file__).parents[2]
OURS = ("sources", "transforms", "pipelines", "flows")
HEAVY = ("dlt", "duckdb", "httpx", "lxml", "pyarrow", "prefect", "pandas", "sqlalchemy", "rich", "cryptography", "sqlglot")
TEXTS = {".py", ".md", ".toml", ".sql", ".txt", ".yml", ".yaml", ".json", ".xml", ".cfg", ""}
NOT_OURS = {".git", ".venv", ".matrix", "data", "build", "__pycache__", ".hypothesis"} | {
    ".mypy_cache",
    ".ruff_cache",
    ".import_linter_cache",
}


def files(*suffixes: str) -> Iterator[Path]:
    """Files of the project, none that tools have left."""
    folders = [path for path in ROOT.iterdir() if path.name not in NOT_OURS]
    for path in sorted(one for folder in folders for one in (folder, *folder.rglob("*"))):
        parts = set(path.relative_to(ROOT).parts)
        if path.is_file() and path.suffix in suffixes and not parts & NOT_OURS and "egg-info" not in str(path):
            yield path


def test_folders_import_only_what_they_may() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=patient(60), check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_the_sandbox_is_an_independent_oracle() -> None:
    for path in (ROOT / "sources" / "sandbox").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.split(".")[0] in OURS], path.name


def test_no_module_imports_itself_through_others() -> None:
    """Imports inside functions and for types count, too."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in OURS
        for path in (ROOT / folder).rglob("*.py")
    }
    reached = {name: imported(name, path, paths) for name, path in paths.items()}
    for _ in paths:
        further = {name: names.union(*(reached[one] for one in names)) for name, names in reached.items()}
        if further == reached:
            break
        reached = further

    assert reached["pipelines.commands.cli"] > {"pipelines.errors"}
    assert {name for name, names in reached.items() if name in names} == set()


def imported(name: str, path: Path, modules: Collection[str]) -> frozenset[str]:
    """The modules of ours that a module names in its imports, wherever they stand."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {one if (one := f"{base}.{alias.name}") in modules else base for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(found & set(modules))


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["consents", "--help"]])
def test_help_costs_nothing(command: list[str]) -> None:
    asking = (
        "import sys\nfrom pipelines.commands.cli import parser\n"
        f"try: parser().parse_args({command})\nexcept SystemExit: pass\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", asking], cwd=ROOT, capture_output=True, text=True, timeout=patient(30), check=False
    )

    assert result.stderr == "[]\n"
    assert result.stdout.startswith("usage: python -m pipelines")


def test_what_no_command_uses_is_not_imported() -> None:
    asking = (
        "import os, sys\nfrom pipelines.commands.cli import main\nos._exit = sys.exit\n"
        "try: main(['status', '--help'])\nexcept SystemExit: pass\n"
        "import httpx, pyarrow; pyarrow.array([1]); httpx.Client().close()\n"
        "print(sorted({'pandas', 'numpy', 'httpx._main', 'click', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    asked = subprocess.run(
        [sys.executable, "-c", asking], cwd=ROOT, capture_output=True, text=True, timeout=patient(30), check=False
    )

    assert asked.stderr == "[]\n"


def test_a_file_past_400_lines_is_a_conversation() -> None:
    long = {path.name: len(path.read_text().splitlines()) for folder in OURS for path in (ROOT / folder).rglob("*.py")}

    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_no_test_folder_hides_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert not [path for path in (ROOT / "tests").iterdir() if path.name in OURS]


def test_nothing_names_an_index_or_a_machine() -> None:
    machine = re.compile(r"/simple/|index-url|(?<![\w.])/(?:work|root|Users)/|/home/\w|\.\./shared|\bshared/[A-Z]")
    found = {}
    for path in files(*TEXTS):
        if path == Path(__file__):
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if hits := [line for line in lines if machine.search(line)]:
            found[str(path.relative_to(ROOT))] = hits

    assert found == {}


def test_every_time_limit_of_a_test_grows_with_the_patience_asked_for() -> None:
    """Below a second it is no limit, but a look at something that must not have happened."""
    fixed = re.compile(r"(\btimeout=|\.wait\(|\.join\(|\b(?:monotonic|perf_counter)\(\) (?:\+|- \w+ <) )[1-9]")
    found = {
        f"{path.name}:{number}"
        for path in (ROOT / "tests").rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if fixed.search(line) and path != Path(__file__)
    }
    asked = [sys.executable, "-c", "from tests.patience import patient; print(patient(3))"]
    ten = subprocess.run(asked, cwd=ROOT, env={"KONTOLEDGER_PATIENCE": "10"}, capture_output=True, text=True, check=True).stdout

    assert (found, ten, re.search(fixed, "began.wait(10)") is not None) == (set(), "30.0\n", True)


def test_pins_hold_names_and_versions_only() -> None:
    lines = [line.strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]

    assert [line for line in lines if line and line[0] != "#" and not re.fullmatch(r"[A-Za-z0-9._-]+==[\w.!+]+", line)] == []


def test_every_document_that_is_mentioned_exists() -> None:
    missing = []
    for path in files(".md"):
        text = path.read_text(encoding="utf-8")
        linked = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        named = re.findall(r"`([\w./-]+\.md)`", text)
        mentioned = [one for one in linked + named if "://" not in one and not one.startswith("mailto:")]
        missing += [(path.name, one) for one in mentioned if not ((path.parent / one).exists() or (ROOT / one).exists())]

    assert missing == []


def test_a_promise_names_tests_that_exist() -> None:
    missing = []
    for name in ("README.md", "docs/reliability.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for path, test in re.findall(r"`([a-z_]+/[\w/]+\.(?:py|toml))(?:::(\w+))?`", text):
            file = ROOT / "tests" / path
            if (ROOT / path).exists() and not test:
                continue
            if not file.exists() or (test and f"def test_{test}(" not in file.read_text(encoding="utf-8")):
                missing.append((name, path, test))

    assert missing == []


def test_decisions_that_code_points_to_are_written_down() -> None:
    decisions = (ROOT / "DECISIONS.md").read_text(encoding="utf-8")
    for path in files(".py", ".sql", ".toml"):
        for title in re.findall(r'DECISIONS(?:\.md)?, "([^"]+)"', path.read_text(encoding="utf-8")):
            assert title in decisions, (path.name, title)
