"""The commands `backup` and `restore`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.cell_change import changing
from pipelines.commands.terminal import data_of, print_json, say, settings_of, tell
from pipelines.errors import GOOD, Failure, WrongUsage
from pipelines.store.lock import held

if TYPE_CHECKING:
    from pipelines.run.backups import Restored
    from pipelines.settings import Settings


def backup(options: argparse.Namespace) -> int:
    """Runs `backup DIR`."""
    from pipelines.read.options import utc_now
    from pipelines.run.backups import make

    settings = data_of(options)
    with held(settings.data_dir, "backup", options.wait):
        made = make(settings, options.folder, utc_now())
    if options.json:
        print_json({"backup": str(made.folder), "made_at": made.made_at, "files": made.files, "notes": made.notes})
        return GOOD
    notes = [*made.notes, "the vault key is not in it: keep it apart"]
    done = f"Backed up {len(made.files)} files to {made.folder}. `restore {made.folder} --check` tries it."
    tell(options, done, *(f"- {note}" for note in notes))
    return GOOD


def restore(options: argparse.Namespace) -> int:
    """Runs `restore DIR` and `restore --previous`: asks a person first; with `--check` nothing changes."""
    from pipelines.run import backups

    settings = settings_of(options)
    folder: Path | None = options.folder
    if (folder is None) != options.previous or (options.check and folder is None):
        raise WrongUsage("`restore` needs either a backup's folder or --previous", "`restore DIR --check` tries a backup")
    if options.previous:
        settings = data_of(options)
    whole = backups.read(folder) if folder is not None else None
    if not options.check:
        _surely(options, settings.data_dir, f"the backup of {whole.made_at}" if whole else "the raw history before the last run")
    if whole is not None and options.check:
        with held(settings.data_dir, "restore"):
            restored = backups.check(settings, whole)
    else:
        with changing(settings, "restore", fetching=whole is None):
            restored = backups.restore_previous(settings) if whole is None else backups.restore(settings, whole)
        restored.notes.extend(_closed_months(settings))
    return _show(options, restored)


def _closed_months(settings: "Settings") -> list[str]:
    """Returns a sentence for each month that the trail closed or reopened after the backup was made."""
    from pipelines.questions.closing_verification import verified

    try:
        return verified(settings).faults
    except Failure as failure:  # the files are restored nevertheless
        return [f"closed months were not compared with the trail: {failure}"]


def _show(options: argparse.Namespace, restored: "Restored") -> int:
    if options.json:
        content = {"files": restored.files, "transactions": restored.transactions, "notes": restored.notes}
        print_json({"restored": not options.check} | content)
        return GOOD
    if options.check:
        say(f"The backup is whole: {restored.transactions:,} transactions, every check passed. Nothing was changed.")
    else:
        say(f"Restored {', '.join(restored.files)}: {restored.transactions:,} transactions. `run` asks the banks for the rest.")
    for note in restored.notes:
        say(f"- {note}")
    return GOOD


def _surely(options: argparse.Namespace, data_dir: Path, wanted: str) -> None:
    """Asks a person. Raises `Failure` when the answer is no, `WrongUsage` when nobody can be asked."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise WrongUsage(
            "Nobody can be asked whether to restore, and --yes is not given; nothing was changed",
            "Run it at a terminal, or give --yes",
        )
    say(f"This puts {wanted} into {data_dir}; the raw history that is there is kept as raw.previous.duckdb.", error=True)
    say("Go on? [y/N] ", end="", error=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("Nothing was changed", "Run it again and answer y, or give --yes")
