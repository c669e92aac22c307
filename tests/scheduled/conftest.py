"""One Prefect server for all tests of a file, since it takes eight seconds to start, and the scene on it.

It ends with the file: an idle server costs a tenth of a core.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.consents.clients import vault_of
from sources.sandbox import World
from tests.plain_loads import by_dlt
from tests.scheduled.desk import consent, days_before_its_end, ending, somebody_listening
from tests.scheduled.scene import Scene, block_document
from tests.scheduled.serving import Server, a_server, serving
from tests.support import VAULT_KEY, a_bank, environment, read, settings_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real one, on loopback, with a database of its own."""
    with a_server(tmp_path_factory.mktemp("prefect")) as running:
        yield running


@pytest.fixture(scope="module")
def scene(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The vault key is on the server only, as a Secret block."""
    folder = tmp_path_factory.mktemp("served")
    now = datetime.now(UTC)
    with a_bank(World(transactions=160)) as bank, somebody_listening() as (hook, heard):
        settings = settings_for(bank, folder / "data")
        with by_dlt():
            read(bank, settings.data_dir)
        with vault_of(settings) as vault:
            (first,) = vault.consents()
            token = vault.token(first.consent_id)
        consents = {
            "first": first.consent_id,
            "expiring": consent(settings, days_before_its_end(now, 13), token),
            "over": consent(settings, days_before_its_end(now, -1)),
            "revoking": ending(settings, now - timedelta(days=9), now),
            "unwanted": consent(settings, now - timedelta(days=30)),
        }
        with vault_of(settings) as vault:
            vault.covers(consents["expiring"], vault.accounts_of(first.consent_id))
        block_document(server, "secret", "kontoledger-vault-key", {"value": VAULT_KEY})
        environ = environment(
            bank,
            PIPELINES__DATA_DIR=str(settings.data_dir),
            NOTIFICATIONS__WEBHOOK_URL=hook,
            NOTIFICATIONS__STALE_HOURS="0",
            PIPELINES__REPORT="true",
        )
        del environ["PIPELINES__VAULT_KEY"]
        with serving(server, folder, environ) as served:
            yield Scene(server, served, bank, settings, environ, heard, consents)


@pytest.fixture(scope="module")
def ran(scene: Scene) -> Scene:
    """Every deployment was run once, `ingest` twice at once."""
    server, unwanted = scene.server, scene.consents["unwanted"]
    server.let_nothing_come_due()
    begun = {
        "consent-revocation": [server.trigger("consent-revocation", consent_id=unwanted, erase=True, confirm_erasure=True)],
        "consent-renewals": [server.trigger("consent-renewals", sign_in_for=[scene.consents["expiring"]])],
        "catalog": [server.trigger("catalog")],
    }
    scene.runs |= {name: server.ended(*runs) for name, runs in begun.items()}
    scene.bank.world.append("4711", amount="-12.34")
    scene.bank.world.append("Konto Start", amount="56.78")
    scene.runs["ingest"] = server.ended(server.trigger("ingest"), server.trigger("ingest"))
    begun = {
        "reuse-multiple-access": [server.trigger("reuse-multiple-access", wait_seconds=60)],
        "kontist-full-read": [server.trigger("kontist-full-read")],
    }
    scene.runs |= {name: server.ended(*runs) for name, runs in begun.items()}
    return scene
