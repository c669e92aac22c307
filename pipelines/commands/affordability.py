"""Runs `affordability`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.report_page import named_page, write_page
from pipelines.commands.terminal import data_of, print_json, say
from pipelines.errors import GOOD, Failure, WrongUsage
from pipelines.store.private import EXPORT

if TYPE_CHECKING:
    from pipelines.questions.affordability import Affordability

BEGIN = '{"affordability": '
"""What a file of ours begins with: no other one is replaced."""


def affordability(options: argparse.Namespace) -> int:
    """Runs `affordability`: a page and a JSON file an owner. `--json` prints the same, and writes files only with `--out`."""
    from pipelines.questions.affordability import affordabilities
    from pipelines.report_page.page_options import page_options
    from pipelines.store.ledger_reader import ledger_of
    from pipelines.store.losses import missing_raw, other_ledger, refuse
    from pipelines.store.private import closed_to_others

    settings = data_of(options)
    with closed_to_others(), ledger_of(settings.data_dir, memory=settings.memory_limit) as connection:
        refuse(missing_raw(settings.data_dir), other_ledger(settings.data_dir))  # of which nothing could be certified
        found = affordabilities(connection, options.owner)
        if options.out is not None and len(found) != 1:
            raise WrongUsage(f"There are {len(found)} owners, and --out names one file", "Name one of them with --owner")
        written: list[Path] = []
        for one in found if options.out is not None or not options.json else ():
            page = named_page(options.out or settings.data_dir / EXPORT / f"affordability-{_file_name(one.owner_id)}.html")
            written += _write(page, one, sandbox=page_options(settings).sandbox)
    if options.json:
        print_json({"affordability": [one.as_json() for one in found], "files": written})
    elif not found:
        say("No account has a complete day yet, so there are no figures.")
    else:
        say(*(f"Look: {path}" for path in written if path.suffix != ".json"))
    return GOOD


def _file_name(owner_id: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in owner_id)


def _write(page: Path, one: "Affordability", *, sandbox: bool) -> list[Path]:
    """Writes the page and, beside it, the JSON file; returns both."""
    from pipelines.report_page.affordability import render
    from pipelines.store.atomic_files import replacing, write_private
    from pipelines.text.sinks import json_text

    beside = page.with_suffix(".json")
    if beside == page or (beside.exists() and not _is_ours(beside)):
        raise WrongUsage(f"{beside} is there already, and no file of this command", "Name another file with --out")
    content: dict[str, Any] = one.as_json()
    write_page(page, render(content, sandbox=sandbox))
    try:
        with replacing(beside) as new:
            write_private(new, json_text({"affordability": content}) + "\n")
    except OSError as error:
        raise Failure(f"The file {beside} cannot be written ({error.strerror})", "Name another file with --out") from None
    return [page, beside]


def _is_ours(path: Path) -> bool:
    """Returns whether a file is one that this command has written."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(len(BEGIN)) == BEGIN
    except OSError:
        return False
