"""What the tests of logins start from."""

from pathlib import Path

import pytest

from tests.kontist_login import logins


@pytest.fixture(scope="session", autouse=True)
def starting_from(empty_raw: Path) -> None:
    """Logins start from raw history with both banks' tables and nothing in them."""
    logins.EMPTY[:] = [empty_raw]
