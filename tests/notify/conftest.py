"""What all tests of notifications start from."""

import socket
import warnings
from importlib import import_module
from pathlib import Path

import pytest

from pipelines.settings import Settings
from tests.consents.customers import VAULT_KEY

with warnings.catch_warnings():
    # apprise looks for `imghdr`, which Python 3.11 and 3.12 call deprecated and 3.13 has no more.
    warnings.filterwarnings("ignore", "'imghdr' is deprecated", DeprecationWarning)
    import_module("apprise.utils.pgp")


@pytest.fixture(autouse=True)
def no_look_at_the_network_for_our_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`smtplib` greets with the machine's full name, which it may ask of a name server."""
    monkeypatch.setattr(socket, "getfqdn", lambda _name="": "kontoledger.test")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No bank, nobody to notify, a data directory that is there."""
    (tmp_path / "data").mkdir()
    return Settings(data_dir=tmp_path / "data", vault_key=VAULT_KEY)
