"""`--sandbox`: the same job, with the built-in bank behind it and a data directory of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pipelines.settings import Settings

SANDBOX_VAULT_KEY = "a29udG9sZWRnZXItc2FuZGJveC12YXVsdC1rZXktMDA="
"""Seals tokens of a bank that does not exist, also for those who read `sandbox serve`: the same in every terminal.

A real token is never sealed with it: sandbox data has a vault of its own.
"""


@contextmanager
def sandbox(settings: Settings) -> Iterator[Settings]:
    """Settings that point to a sandbox bank, which runs while the block does."""
    from pipelines.sandbox import World, running

    world = World()
    with running(world, dialect=settings.kontomatik.dialect) as bank:
        yield replace(
            settings,
            data_dir=settings.data_dir / "sandbox",
            vault_key=SANDBOX_VAULT_KEY,
            vault_url=None,  # real consents, which the sandbox bank would call gone
            sandbox=True,
            kontomatik=replace(
                settings.kontomatik, base_url=f"{bank.url}/v1", api_key=world.kontomatik_api_key, poll_interval=0.02
            ),
            kontist=replace(
                settings.kontist,
                base_url=bank.url,
                auth="jwt",
                email=world.kontist_email,
                password=world.kontist_password,
                refresh_token=None,
                requests_per_minute=0,
            ),
        )
