"""The sandbox bank: `--sandbox` (the same run, with a data directory of its own) and `sandbox serve`."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.terminal import say
from pipelines.errors import GOOD, WrongUsage
from pipelines.settings import FleetSettings, Settings

if TYPE_CHECKING:
    from sources.sandbox import Dialect

SANDBOX_VAULT_KEY = "a29udG9sZWRnZXItc2FuZGJveC12YXVsdC1rZXktMDA="
"""Encrypts tokens of a bank that does not exist, also for those who read `sandbox serve`: the same in every terminal.

A real token is never encrypted with it: sandbox data has a vault of its own.
"""


@contextmanager
def sandbox(settings: Settings) -> Iterator[Settings]:
    """Yields settings that point to a sandbox bank, which runs while the block does."""
    from sources.sandbox import World, running

    world = World()
    dialect = _dialect(settings.data_dir / "sandbox" / "raw.duckdb")
    with running(world, dialect=dialect) as bank:
        yield replace(
            settings,
            data_dir=settings.data_dir / "sandbox",
            vault_key=SANDBOX_VAULT_KEY,
            vault_url=None,  # real consents, which the sandbox bank would call gone
            sandbox=True,
            fleet=FleetSettings(),
            kontomatik=replace(
                settings.kontomatik,
                base_url=f"{bank.url}/v1",
                dialect=dialect,
                api_key=world.kontomatik_api_key,
                poll_interval=0.02,
            ),
            kontist=replace(
                settings.kontist,
                base_url=bank.url,
                auth="jwt",
                email=world.kontist_email,
                password=world.kontist_password,
                refresh_token=bank.kontist.oauth.pair()[1] if settings.kontist.dialect == "graphql" else None,
                client_id=world.kontist_client_id,
                client_secret=world.kontist_client_secret,
                requests_per_minute=0,
            ),
        )


def _dialect(raw: Path) -> "Dialect":
    """Returns what the sandbox's Kontomatik speaks: `live`, which gives a balance after each movement and so proves each day.

    A data directory that an earlier version read stays in its dialect: the same account has other rows in the other one.
    """
    import duckdb

    from pipelines.store.read_only import read_only

    try:
        with read_only(raw) as connection:
            ((rows, balances),) = connection.execute(
                "select count(*), count(balance_after) from kontomatik.transactions"
            ).fetchall()
    except duckdb.Error:  # none yet, or a run is about to name what is wrong with it
        return "live"
    return "openapi" if rows and not balances else "live"


def sandbox_serve(options: argparse.Namespace) -> int:
    """Runs `sandbox serve`."""
    from sources.sandbox import World, serve_forever

    world = World(options.seed)

    def ready(url: str) -> None:
        say(f"The sandbox bank listens at {url}; Ctrl-C ends it. To read it:")
        say(f"  export SOURCES__KONTOMATIK__BASE_URL={url}/v1 SOURCES__KONTOMATIK__API_KEY={world.kontomatik_api_key}")
        say(f"  export SOURCES__KONTOMATIK__DIALECT={options.dialect} SOURCES__KONTOMATIK__POLL_INTERVAL=0.1")
        say(f"  export SOURCES__KONTIST__BASE_URL={url} SOURCES__KONTIST__REQUESTS_PER_MINUTE=0")
        say(f"  export SOURCES__KONTIST__EMAIL={world.kontist_email} SOURCES__KONTIST__PASSWORD={world.kontist_password}")
        say(f"  export SOURCES__KONTIST__CLIENT_ID={world.kontist_client_id}")
        say(f"  export SOURCES__KONTIST__CLIENT_SECRET={world.kontist_client_secret}")
        say(f"  export PIPELINES__DATA_DIR=data/served PIPELINES__VAULT_KEY={SANDBOX_VAULT_KEY}")
        say("  python -m pipelines connect kontomatik --mock && python -m pipelines run")
        say("Kontist by GraphQL: export SOURCES__KONTIST__DIALECT=graphql, then python -m pipelines connect kontist --open")

    try:
        serve_forever(world, options.port, options.dialect, ready)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WrongUsage(f"Port {options.port} cannot be used ({reason})", "Choose another with --port") from None
    return GOOD


def sandbox_help(_: argparse.Namespace) -> int:
    """Refuses `sandbox` without an action."""
    raise WrongUsage("`sandbox` needs an action", "Use `python -m pipelines sandbox serve`")
