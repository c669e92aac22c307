"""Exports that write at once, or are killed: under a final name stands a whole file, and nothing half-made stays for good."""

import os
from pathlib import Path

import pytest

from pipelines.questions.exports import _beside
from pipelines.store.leftovers import PARTS, remove_exports
from pipelines.store.lock import held

DEAD = 2**22 + 1
"""No process of Linux has this number."""


def half_made(folder: Path) -> list[Path]:
    """What killed processes have left in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = folder / f"{PARTS}{DEAD}-k3_x9"
    parts.mkdir()
    made = [folder / f"ledger.xlsx.{DEAD}.new", folder / f"accounts.csv.{DEAD}.new.whole", parts / "sheet1.xml"]
    for path in made:
        path.write_text("half")
    return made


def test_two_exports_at_once_do_not_write_into_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.ofx"
    with _beside(path) as slow:
        slow.write_text("half of the slow")
        with monkeypatch.context() as other:
            other.setattr("os.getpid", os.getppid)
            with _beside(path) as fast:
                fast.write_text("the fast one, whole")
        assert path.read_text() == "the fast one, whole"
        slow.write_text("the slow one, whole")

    assert path.read_text() == "the slow one, whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_export_has_left_goes_with_the_next_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    made = half_made(tmp_path)
    living = tmp_path / f"postings.csv.{os.getppid()}.new"
    living.touch()
    with _beside(tmp_path / "ledger.journal") as new:
        new.touch()

    assert not [path for path in made if path.exists()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.journal", living.name]


def test_a_run_removes_what_a_killed_export_has_left(tmp_path: Path) -> None:
    half_made(tmp_path / "export")
    with held(tmp_path, "run"):
        assert list((tmp_path / "export").iterdir()) == []


def test_only_our_exports_are_removed_and_nothing_behind_a_link(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere.csv", tmp_path / "export"
    elsewhere.touch()
    folder.mkdir()
    for name in ("accounts.csv", "ledger.xlsx", "report-2026-01.html", "my notes.txt"):
        (folder / name).touch()
    (folder / "link.csv").symlink_to(elsewhere)

    assert remove_exports(tmp_path) == 3
    assert sorted(path.name for path in folder.iterdir()) == ["link.csv", "my notes.txt"]
    assert elsewhere.exists()
