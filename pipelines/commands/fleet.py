"""Runs the commands of a fleet: `fleet` init, run, status, publish, maintain, export, check."""

import argparse
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from pipelines.commands.terminal import print_json, say, settings_of, tell
from pipelines.errors import CHECKS_FAILED, GOOD, PARTIAL, WrongUsage
from pipelines.fleet.cells import cell_statuses, due_cells, fleet_of, make_cells, refuse_without_cells
from pipelines.read.options import utc_now
from pipelines.text.numbers import counted

DUE_AFTER = timedelta(hours=5)
"""How old the last import of an account is when `fleet status` calls its cell due: as `fleet run` does without --due."""


def usage(_: argparse.Namespace) -> int:
    """Refuses `fleet` without an action."""
    raise WrongUsage(
        "`fleet` needs an action",
        "Use `python -m pipelines fleet init`, `run`, `status`, `publish`, `maintain`, `export` or `check`",
    )


def init(options: argparse.Namespace) -> int:
    """Runs `fleet init`."""
    settings = settings_of(options)
    made = make_cells(settings)
    if options.json:
        print_json({"cells": settings.fleet.cells, "made": made})
    else:
        tell(options, f"The fleet has {counted(settings.fleet.cells, 'cell')}; {made} made now.")
    return GOOD


def run(options: argparse.Namespace) -> int:
    """Runs `fleet run`: ends with 1 when the run of a cell failed, 3 when a check did, 4 when something could not be read."""
    from pipelines.fleet.digest import send_digest
    from pipelines.fleet.workers import Workers

    settings = settings_of(options)
    report = Workers(settings, options.due, options.at_most, named=options.cell).run(utc_now)
    dispatched = send_digest(settings, [run.cell for run in report.runs], utc_now())
    troubled = [run for run in report.runs if run.status != GOOD]
    if options.json:
        runs = [asdict(run) for run in report.runs]
        counts = {"due": report.due, "waiting": report.waiting}
        print_json(
            counts
            | {"runs": runs, "trouble": report.trouble, "copies_left": report.copies_left, "exit_status": report.exit_status}
        )
    else:
        passed = report.due - len(report.runs)
        notes = [f"- {passed} passed over: another process holds them, or has run them since."] if passed else []
        notes = [] if report.trouble else notes
        notes += [f"- {report.waiting} more wait after a run that failed: see `fleet status`."] if report.waiting else []
        ran = f"{counted(report.due, 'cell')} due, {len(report.runs)} run here, {len(troubled)} with trouble."
        tell(options, ran, *notes)
        for one in troubled:
            say(f"! {one.cell} ended with {one.status}: {one.trouble or 'see its `status`'}")
    for sentence in (*report.copies_left, report.trouble, *dispatched.sentences()):
        if sentence:
            say(f"! {sentence}", error=True)
    return report.exit_status


def status(options: argparse.Namespace) -> int:
    """Runs `fleet status`."""
    settings = settings_of(options)
    with fleet_of(settings) as database:
        refuse_without_cells(database)
        statuses = cell_statuses(database)
        due = due_cells(database, DUE_AFTER, utc_now())
    at_work = [one for one in statuses if one.holder]
    troubled = [one for one in statuses if one.status]
    if options.json:
        shown = [
            {
                "cell": one.cell,
                "customers": one.customers,
                "version": one.version,
                "holder": one.holder,
                "beat_at": one.beat_at.isoformat() if one.beat_at else None,
                "ended_at": one.ended_at.isoformat() if one.ended_at else None,
                "status": one.status,
                "trouble": one.trouble,
                "failures": one.failures,
                "retry_at": one.retry_at.isoformat() if one.retry_at else None,
            }
            for one in statuses
        ]
        print_json({"cells": shown, "due": due.ready, "waiting": due.waiting})
        return GOOD
    customers = sum(one.customers for one in statuses)
    counts = f"{len(due.ready)} due, {len(at_work)} at work"
    counts += f", {len(due.waiting)} wait after a run that failed" if due.waiting else ""
    say(f"{counted(len(statuses), 'cell')}, {counted(customers, 'customer')}; {counts}.")
    for one in at_work:
        say(f"- {one.cell}: {one.holder} works on it; last sign of life {_utc(one.beat_at, '%H:%M:%S')}")
    for one in troubled:
        say(f"! {one.cell}: its run of {_utc(one.ended_at)} ended with {one.status}: {one.trouble or 'see its `status`'}")
        if one.retry_at:
            times = "once" if one.failures == 1 else f"{one.failures} times in a row"
            say(f"  failed {times}, runs again from {_utc(one.retry_at)} on (at once: `fleet run --cell {one.cell}`)")
    return GOOD


def _utc(moment: datetime | None, form: str = "%Y-%m-%d %H:%M") -> str:
    return f"{moment.astimezone(UTC):{form}} UTC" if moment else "?"


def publish(options: argparse.Namespace) -> int:
    """Runs `fleet publish`."""
    from pipelines.fleet.publication import publish_fleet

    settings = settings_of(options)
    with fleet_of(settings) as database:
        done = publish_fleet(settings, database)
    if options.json:
        print_json(asdict(done))
        return PARTIAL if done.troubles else GOOD
    cells = counted(len(done.published), "cell")
    counts = f"{cells}; {len(done.unchanged)} unchanged, {len(done.elsewhere)} on other machines"
    notes = [f"- what was erased is removed from the lake for good: {', '.join(done.erased)}"] if done.erased else []
    tell(options, f"Published {counts}.", *notes)
    return _troubled(done.troubles)


def _troubled(troubles: list[str]) -> int:
    """Names the ledgers that cannot be read; returns 4 if there are any."""
    for trouble in troubles:
        say(f"! {trouble}", error=True)
    return PARTIAL if troubles else GOOD


def maintain(options: argparse.Namespace) -> int:
    """Runs `fleet maintain`: the lake, and objects of the store that no cell names."""
    from pipelines.fleet.publication import lake_of
    from pipelines.fleet.raw_store import RawStore
    from pipelines.fleet.unnamed import remove_unnamed

    settings = settings_of(options)
    removed: list[str] = []
    with fleet_of(settings) as database:
        if settings.fleet.store:
            removed = remove_unnamed(database, RawStore(settings.fleet.store))
        if settings.fleet.lake or not settings.fleet.store:
            with lake_of(settings) as lake:
                lake.maintain()
    if options.json:
        print_json({"maintained": True, "store": removed})
    else:
        left = [f"- objects of the store that no cell names were removed: {', '.join(removed)}"] if removed else []
        tell(options, f"The {'lake' if settings.fleet.lake else 'store'} is maintained.", *left)
    return GOOD


def export(options: argparse.Namespace) -> int:
    """Runs `fleet export`."""
    from pipelines.fleet.parquet import export_fleet

    settings = settings_of(options)
    with fleet_of(settings) as database:
        done = export_fleet(settings, database, options.out)
    if options.json:
        print_json(asdict(done))
        return PARTIAL if done.troubles else GOOD
    removed = f"- older than an erasure on another machine, and removed: {', '.join(done.removed)}"
    notes = [removed] if done.removed else []
    tell(options, f"Wrote {counted(len(done.written), 'cell')} to {options.out}; {len(done.unchanged)} unchanged.", *notes)
    return _troubled(done.troubles)


def check(options: argparse.Namespace) -> int:
    """Runs `fleet check`: ends with 3 when something does not agree."""
    from pipelines.fleet.fleet_check import check_fleet

    settings = settings_of(options)
    with fleet_of(settings) as database:
        done = check_fleet(settings, database)
    if options.json:
        print_json(asdict(done))
    else:
        for finding in done.findings:
            say(f"! {finding}")
        stored = f"{counted(done.cells, 'cell')}, {counted(done.objects, 'object')}"
        here = f"{counted(done.ledgers, 'ledger')} on this machine"
        tell(options, f"Checked {stored}, {here}: {counted(len(done.findings), 'finding')}.")
    return CHECKS_FAILED if done.findings else GOOD
