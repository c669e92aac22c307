"""The page beside a ledger shows that ledger, whatever is killed or published meanwhile, and `--out` names a file only."""

import os
import shutil
from pathlib import Path

import pytest

from pipelines.commands import report_page
from pipelines.commands.cli import parser
from pipelines.errors import WrongUsage
from pipelines.questions.doctor import examine
from pipelines.read.options import utc_now
from pipelines.report_page.page_options import PageOptions
from pipelines.settings import Settings
from pipelines.store import ledger, published_page


@pytest.fixture
def folder(empty_raw: Path, tmp_path: Path) -> Path:
    """A data directory with a ledger without rows, and its page."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copyfile(empty_raw, folder / "raw.duckdb")
    ledger.build_and_publish(folder, page=PageOptions())
    return folder


def ask(data_dir: Path, *more: str) -> int:
    """Runs `report`."""
    return report_page.report(parser().parse_args(["--data-dir", str(data_dir), "report", *more]))


def outdated(data_dir: Path) -> list[str]:
    """What `doctor` says of the page."""
    return [one.found for one in examine(Settings(data_dir=data_dir), utc_now) if one.about == "page"]


def test_doctor_names_the_page_that_a_killed_run_has_left_and_report_draws_it_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    assert outdated(folder) == []
    before = (folder / "report.html").read_bytes()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(published_page, "put", killed)
        ledger.build_and_publish(folder, page=PageOptions())

    assert (folder / "report.html").read_bytes() == before
    assert outdated(folder) == [f"{folder / 'report.html'} shows another ledger than the one beside it"]
    assert ask(folder) == 0
    assert outdated(folder) == []


def test_a_run_that_publishes_while_the_page_is_written_is_shown_in_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = report_page.write_page, []

    def late(page: Path, text: str) -> None:
        if not written:
            ledger.build_and_publish(folder, page=PageOptions())
        write(page, text)
        written.append(text)

    monkeypatch.setattr(report_page, "write_page", late)
    assert ask(folder) == 0

    assert len(written) == 2
    assert outdated(folder) == []


def test_a_page_goes_to_the_file_behind_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    target, link = tmp_path / "shown" / "page.html", tmp_path / "link.html"
    target.touch(0o640)
    link.symlink_to(target)
    assert ask(folder, "--out", str(link)) == 0

    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["raw.duckdb", "ledger.duckdb", "mine.txt"])
def test_a_file_that_is_no_page_is_not_replaced_by_one(folder: Path, name: str) -> None:
    (folder / "mine.txt").write_text("notes")
    before = (folder / name).read_bytes()
    with pytest.raises(WrongUsage, match=r"is there already, and no page\. Name another file with --out"):
        ask(folder, "--out", str(folder / name))

    assert (folder / name).read_bytes() == before
    assert ask(folder, "--out", str(folder / "report.html")) == 0


def test_a_device_is_not_replaced_by_a_page(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WrongUsage, match=r"is no file\. Name a file with --out"):
        ask(folder, "--out", str(tmp_path / "pipe"))

    assert (tmp_path / "pipe").is_fifo()
