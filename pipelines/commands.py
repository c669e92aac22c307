"""The commands about data: run, status, transform, check, catalog, doctor, and the sandbox as a server."""

import argparse
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.errors import CHECKS_FAILED, FAILED, GOOD, PARTIAL, WrongUsage
from pipelines.terminal import console, data_of, print_as_json, print_json, progress_for, say, say_all, settings_of

if TYPE_CHECKING:
    from pipelines.run import Openings, Options
    from pipelines.settings import Settings


def run(options: argparse.Namespace) -> int:
    """`run`."""
    from pipelines.run import Options

    settings = settings_of(options)
    due_after = None if options.due_hours is None else timedelta(hours=options.due_hours)
    removed = tuple(options.accept_removals)
    asked = Options(
        tuple(options.source), options.since, options.full_refresh, removed, options.reserve, due_after, options.start_new
    )
    if not options.sandbox:
        return run_and_tell(options, settings, asked, patience=options.wait)
    from pipelines.consents.connect import mock_opening
    from pipelines.run import utc_now
    from pipelines.trying import sandbox

    with sandbox(settings) as trying:
        return run_and_tell(
            options, trying, asked, patience=options.wait, openings=lambda: None if _connected(trying) else mock_opening(utc_now)
        )


def run_and_tell(
    options: argparse.Namespace,
    settings: "Settings",
    asked: "Options",
    *,
    command: str = "run",
    patience: float = 0,
    openings: "Callable[[], Openings | None]" = lambda: None,
) -> int:
    """Hold the lock, run, and tell what came of it. `openings` is asked under the lock."""
    from pipelines import report as telling
    from pipelines.lock import held
    from pipelines.notify.telling import tell
    from pipelines.run import run as run_job
    from pipelines.run import utc_now

    with held(settings.data_dir, command, patience), progress_for(options) as progress:
        report = run_job(settings, asked, openings=openings(), progress=progress)
        text = telling.as_json(report)
        telling.remember(settings.data_dir, text)
    told = tell(settings, utc_now, report=report)
    if options.json:
        print_as_json(text)
    else:
        telling.show(report, console())
    for sentence in told.sentences():
        say(f"! {sentence}", error=True)
    return report.exit_status


def _connected(settings: "Settings") -> bool:
    """Whether the sandbox's vault has a consent that a run can use."""
    from pipelines.connections import has_vault, vault_of
    from pipelines.consents.states import USABLE

    if not has_vault(settings):
        return False
    with vault_of(settings) as vault:
        return bool(vault.consents(source="kontomatik", status=(*USABLE, "pending")))


def transform(options: argparse.Namespace) -> int:
    """`transform`."""
    from pipelines.ledger import build_and_publish
    from pipelines.lock import held

    settings = data_of(options)
    with held(settings.data_dir, "transform"), progress_for(options) as progress:
        done = build_and_publish(settings.data_dir, lambda name, step, steps: progress.step(f"Ledger: {name}", step, steps))
    if options.json:
        checks = {"passed": len(done.checks), "failed": []}
        print_json({"published": done.path, "rows": done.rows, "checks": checks, "notes": done.notices})
    else:
        say(f"Published {done.path}: {done.rows.get('transactions', 0):,} transactions, {len(done.checks)} checks passed.")
        for notice in done.notices:
            say(f"- {notice}")
    return GOOD


def check(options: argparse.Namespace) -> int:
    """`check`."""
    from pipelines.ledger import check_again

    results = check_again(data_of(options).data_dir)
    failed = [result for result in results if not result.passed]
    if options.json:
        told = [{"check": one.name, "rows": one.failed_rows, "meaning": one.meaning} for one in failed]
        print_json({"passed": len(results) - len(failed), "failed": told})
    else:
        for one in failed:
            say(f"! {one.name}, {one.failed_rows} rows: {one.meaning}")
        say(f"{len(results) - len(failed)} checks passed, {len(failed)} failed.")
    return CHECKS_FAILED if failed else GOOD


def status(options: argparse.Namespace) -> int:
    """`status`. With `--max-age` it ends with 4 when somebody has to look, and says why on standard error."""
    from pipelines import freshness, metrics
    from pipelines.run import utc_now
    from pipelines.status import gather, show

    settings, now = data_of(options), utc_now()
    gathered = gather(settings)
    watched = options.max_age is not None or options.openmetrics is not None
    wanted = freshness.expected(settings, gathered["accounts"]) if watched else None
    troubles = []
    if wanted is not None and options.max_age is not None:
        troubles = freshness.overdue_sentences(gathered, wanted, options.max_age, now)
        gathered["troubles"] = troubles
    if wanted is not None and options.openmetrics is not None:
        text = metrics.exposition(gathered, wanted, now)
        if str(options.openmetrics) == "-":
            say_all(text, end="")
        else:
            metrics.write(options.openmetrics, text)
    elif options.json:
        print_json(gathered)
    else:
        show(gathered, console())
    for sentence in troubles:
        say(f"! {sentence}", error=True)
    if gathered["lost"]:
        return FAILED
    return PARTIAL if troubles else GOOD


def catalog(options: argparse.Namespace) -> int:
    """`catalog`."""
    from pipelines.institutions import fetch, kept, show
    from pipelines.lock import held
    from pipelines.run import utc_now

    settings = settings_of(options)
    institutions = fetch(settings, utc_now, country=options.country, access_mode=options.access_mode)
    if options.country is None and options.access_mode is None:
        with held(settings.data_dir, "catalog"):
            kept(settings, institutions, utc_now())
    if options.json:
        print_json({"institutions": institutions})
    else:
        show(institutions, console())
    return GOOD


def doctor(options: argparse.Namespace) -> int:
    """`doctor`."""
    if options.new_vault_key:
        from pipelines.consents.vault import new_vault_key

        say(new_vault_key())
        return GOOD
    from pipelines.doctor import examine, show
    from pipelines.run import utc_now

    findings = examine(settings_of(options), utc_now)
    if options.json:
        print_json({"findings": [finding.__dict__ for finding in findings]})
    else:
        show(findings, console())
    return FAILED if any(finding.level == "wrong" for finding in findings) else GOOD


def sandbox_serve(options: argparse.Namespace) -> int:
    """`sandbox serve`."""
    from pipelines.sandbox import World, serve_forever
    from pipelines.trying import SANDBOX_VAULT_KEY

    world = World(options.seed)

    def ready(url: str) -> None:
        say(f"The sandbox bank listens at {url}; Ctrl-C ends it. To read it:")
        say(f"  export SOURCES__KONTOMATIK__BASE_URL={url}/v1 SOURCES__KONTOMATIK__API_KEY={world.kontomatik_api_key}")
        say(f"  export SOURCES__KONTOMATIK__DIALECT={options.dialect} SOURCES__KONTOMATIK__POLL_INTERVAL=0.1")
        say(f"  export SOURCES__KONTIST__BASE_URL={url} SOURCES__KONTIST__REQUESTS_PER_MINUTE=0")
        say(f"  export SOURCES__KONTIST__EMAIL={world.kontist_email} SOURCES__KONTIST__PASSWORD={world.kontist_password}")
        say(f"  export PIPELINES__DATA_DIR=data/served PIPELINES__VAULT_KEY={SANDBOX_VAULT_KEY}")
        say("  python -m pipelines connect kontomatik --mock && python -m pipelines run")

    try:
        serve_forever(world, options.port, options.dialect, ready)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WrongUsage(f"Port {options.port} cannot be used ({reason})", "Choose another with --port") from None
    return GOOD


def sandbox_help(_: argparse.Namespace) -> int:
    """`sandbox` alone."""
    raise WrongUsage("`sandbox` needs an action", "Use `python -m pipelines sandbox serve`")
