"""The settings of a run on a worker: dlt's files and environment, and Prefect's Secret blocks where a worker has neither."""

import os
from pathlib import Path

from prefect.client.orchestration import get_client

from pipelines.settings import Settings, load_settings

BLOCKS = {
    "kontoledger-vault-key": "PIPELINES__VAULT_KEY",
    "kontoledger-vault-url": "PIPELINES__VAULT_URL",
    "kontoledger-kontomatik-api-key": "SOURCES__KONTOMATIK__API_KEY",
    "kontoledger-kontist-email": "SOURCES__KONTIST__EMAIL",
    "kontoledger-kontist-password": "SOURCES__KONTIST__PASSWORD",
    "kontoledger-kontist-refresh-token": "SOURCES__KONTIST__REFRESH_TOKEN",
    "kontoledger-email-password": "NOTIFICATIONS__EMAIL_PASSWORD",
    "kontoledger-webhook-url": "NOTIFICATIONS__WEBHOOK_URL",
    "kontoledger-slack-url": "NOTIFICATIONS__SLACK_URL",
    "kontoledger-notification-urls": "NOTIFICATIONS__URLS",
}
"""Each Secret block that is read, and the setting that it stands for."""


def settings_in_force(data_dir: str | None = None) -> Settings:
    """Returns the settings: environment first, then Secret blocks, then the files of `.dlt/` in the working directory.

    The blocks' values go into the settings and nowhere else: no child process inherits them. Raises `WrongUsage` as
    `load_settings` does.
    """
    environment = secret_blocks() | dict(os.environ)
    return load_settings(data_dir=Path(data_dir) if data_dir else None, environment=environment)


def secret_blocks() -> dict[str, str]:
    """Returns our Secret blocks on the server, by the name of the environment variable that each stands for."""
    with get_client(sync_client=True) as client:
        documents = client.read_block_documents_by_type("secret", include_secrets=True)
    found = {BLOCKS[document.name]: document.data.get("value") for document in documents if document.name in BLOCKS}
    return {variable: str(value) for variable, value in found.items() if value}
