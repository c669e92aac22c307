"""Runs the commands that work on the data: run, transform, check."""

import argparse
import shlex
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.cell_change import keeper_of
from pipelines.commands.progress import progress_for
from pipelines.commands.terminal import console, data_of, print_as_json, print_json, say, settings_of, tell
from pipelines.errors import CHECKS_FAILED, GOOD

if TYPE_CHECKING:
    from pipelines.read.options import Openings, Options
    from pipelines.settings import Settings


def run(options: argparse.Namespace) -> int:
    """Runs `run`."""
    from pipelines.read.options import Options

    settings = settings_of(options)
    due_after = None if options.due_hours is None else timedelta(hours=options.due_hours)
    asked = Options(
        tuple(options.source),
        since=options.since,
        full_refresh=options.full_refresh,
        accept_removals=tuple(options.accept_removals),
        reserve=options.reserve,
        due_after=due_after,
        start_new=options.start_new,
    )
    if not options.sandbox:
        return run_and_report(options, settings, asked, patience=options.wait)
    from pipelines.commands.sandbox import sandbox
    from pipelines.consents.sign_in import mock_opening
    from pipelines.read.options import utc_now

    with sandbox(settings) as trying:
        return run_and_report(
            options, trying, asked, patience=options.wait, openings=lambda: None if _connected(trying) else mock_opening(utc_now)
        )


def backfill(options: argparse.Namespace) -> int:
    """Runs `backfill`: a run that reads every account back to a day, and names each that its bank does not show so far."""
    from pipelines.read.options import Options

    asked = Options(tuple(options.source), since=options.since, backfill=True)
    return run_and_report(options, settings_of(options), asked, command="backfill", patience=options.wait)


def run_and_report(
    options: argparse.Namespace,
    settings: "Settings",
    asked: "Options",
    *,
    command: str = "run",
    patience: float = 0,
    openings: "Callable[[], Openings | None]" = lambda: None,
) -> int:
    """Runs under the lock, shows the report and sends notices; returns the exit status. `openings` is called under the lock."""
    from pipelines.notify.dispatch import dispatch_notices
    from pipelines.read.options import utc_now
    from pipelines.report_page.page_options import SANDBOX
    from pipelines.run import summary
    from pipelines.run.steps import run as run_job
    from pipelines.store.lock import held

    with held(settings.data_dir, command, patience), keeper_of(settings) as keeper, progress_for(options) as progress:
        if settings.sandbox:
            (settings.data_dir / SANDBOX).touch()
        report = run_job(settings, asked, openings=openings(), progress=progress, keeper=keeper)
        text = summary.as_json(report)
        summary.remember(settings.data_dir, text)
    dispatched = dispatch_notices(settings, utc_now, report=report)
    if options.json:
        print_as_json(text)
    elif getattr(options, "quiet", False):
        for sentence in summary.troubles(report):
            say(sentence)
    else:
        summary.show(report, console())
        for sentence in looks(options, settings, report.published.page) if report.published else ():
            say(sentence)
    for sentence in dispatched.sentences():
        say(f"! {sentence}", error=True)
    return report.exit_status


def looks(options: argparse.Namespace, settings: "Settings", page: Path | None = None) -> list[str]:
    """Returns the lines that end a run: how to look at what it has published, its page last."""
    own = "" if settings_of(options).data_dir == settings.data_dir and not hasattr(options, "data_dir") else _named(settings)
    return [f"Look: python -m pipelines query{own}", *([f"Look: {page}"] if page else [])]


def _named(settings: "Settings") -> str:
    """Returns the option that names the data directory."""
    path = settings.data_dir
    with suppress(ValueError):
        path = path.absolute().relative_to(Path.cwd())
    return f" --data-dir {shlex.quote(str(path))}"


def _connected(settings: "Settings") -> bool:
    """Returns whether the sandbox's vault has a consent that a run can use."""
    from pipelines.consents.clients import has_vault, vault_of
    from pipelines.consents.states import USABLE
    from pipelines.store.banks import KONTOMATIK

    if not has_vault(settings):
        return False
    with vault_of(settings) as vault:
        return bool(vault.consents(source=KONTOMATIK.name, status=(*USABLE, "pending")))


def transform(options: argparse.Namespace) -> int:
    """Runs `transform`."""
    from pipelines.report_page.page_options import wanted_page
    from pipelines.store.ledger import build_and_publish
    from pipelines.store.lock import held

    settings = data_of(options)
    with held(settings.data_dir, "transform"), progress_for(options) as progress:
        done = build_and_publish(
            settings.data_dir,
            lambda name, step, steps: progress.step(f"Ledger: {name}", step, steps),
            memory=settings.memory_limit,
            page=wanted_page(settings),
        )
    if options.json:
        checks = {"passed": len(done.checks), "failed": []}
        print_json({"published": done.path, "report": done.page, "rows": done.rows, "checks": checks, "notes": done.notices})
    else:
        counted = f"{done.rows.get('transactions', 0):,} transactions, {len(done.checks)} checks passed."
        notices = [f"- {notice}" for notice in done.notices]
        tell(options, f"Published {done.path}: {counted}", *notices, *([f"Look: {done.page}"] if done.page else []))
    return GOOD


def check(options: argparse.Namespace) -> int:
    """Runs `check`."""
    from pipelines.store.ledger import check_again

    settings = data_of(options)
    results = check_again(settings.data_dir, memory=settings.memory_limit)
    failed = [result for result in results if not result.passed]
    if options.json:
        failures = [{"check": one.name, "rows": one.failed_rows, "meaning": one.meaning} for one in failed]
        print_json({"passed": len(results) - len(failed), "failed": failures})
    else:
        for one in failed:
            say(f"! {one.name}, {one.failed_rows} rows: {one.meaning}")
        tell(options, f"{len(results) - len(failed)} checks passed, {len(failed)} failed.")
    return CHECKS_FAILED if failed else GOOD
