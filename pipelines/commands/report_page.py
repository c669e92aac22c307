"""Runs `report`."""

import argparse
import os
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.terminal import data_of, print_json, say
from pipelines.errors import GOOD, Failure, WrongUsage
from pipelines.report_page.page_options import FILE
from pipelines.store.private import EXPORT

if TYPE_CHECKING:
    from pipelines.report_page.page_options import PageOptions

BEGIN = b"<!doctype html>"


def report(options: argparse.Namespace) -> int:
    """Runs `report`: draws the page of the published ledger, or of a part of it."""
    from pipelines.report_page.page_options import page_options
    from pipelines.report_page.rendering import render
    from pipelines.store.ledger_reader import account_of, ledger_of
    from pipelines.store.private import closed_to_others

    settings = data_of(options)
    ledger = settings.data_dir / "ledger.duckdb"
    drawn_of = _file_of(ledger)
    asked = replace(page_options(settings), month=options.month)
    with closed_to_others(), ledger_of(settings.data_dir, memory=settings.memory_limit) as connection:
        if options.account is not None:
            asked = replace(asked, account_id=account_of(connection, options.account)["account_id"])
        page = named_page(options.out) if options.out else _path(settings.data_dir, asked)
        text = render(connection, asked)
        beside = page == (settings.data_dir / FILE).absolute()
        if not beside or _file_of(ledger) == drawn_of:
            write_page(page, text)
        if beside and _file_of(ledger) != drawn_of:
            return report(options)  # a run has published another one meanwhile, with its page: an older one must not replace that
    if options.open:
        webbrowser.open(page.as_uri())
    if options.json:
        print_json({"report": page})
    else:
        say(f"Look: {page}")
    return GOOD


def _file_of(path: Path) -> tuple[int, int] | None:
    """Returns what tells a file from the one that replaces it; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def named_page(out: Path) -> Path:
    """Returns the file that `--out` names; behind a link, that is the file it points to. Raises `WrongUsage` for what is none."""
    page = out.expanduser().absolute()
    if page.is_symlink():
        page = page.resolve()
    if page.is_dir():
        raise WrongUsage(f"{page} is a folder", "Name a file with --out")
    if page.exists() and not page.is_file():  # a rename would put a file in the place of a device, such as /dev/null
        raise WrongUsage(f"{page} is no file", "Name a file with --out")
    if _is_something_else(page):
        raise WrongUsage(f"{page} is there already, and no page", "Name another file with --out")
    return page


def _is_something_else(page: Path) -> bool:
    """Returns whether a file holds anything but a page: raw history cannot be read from the banks again."""
    try:
        with page.open("rb") as file:
            return file.read(len(BEGIN)).lower() not in (b"", BEGIN)
    except OSError:
        return False


def _path(data_dir: Path, asked: "PageOptions") -> Path:
    """Returns where a page goes that nobody named a file for. The one beside the ledger always shows all of it."""
    parts = [f"{asked.month:%Y-%m}" if asked.month else "", (asked.account_id or "").replace(":", "-")]
    if not any(parts):
        return data_dir / FILE
    return data_dir / EXPORT / f"{'-'.join(['report', *filter(None, parts)])}.html"


def write_page(page: Path, text: str) -> None:
    """Puts the page into place in one step; whoever may read the one before may read it."""
    from pipelines.store.atomic_files import replacing, write_private
    from pipelines.store.private import share_as_before

    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with replacing(page, of=f".{os.getpid()}") as new:  # a run may be writing `report.html.new`
            write_private(new, text)
            if page.exists() or page.name == FILE:
                share_as_before(new, page)
    except OSError as error:
        raise Failure(f"The page {page} cannot be written ({error.strerror})", "Name another file with --out") from None
