"""What several tests of consents start from."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.consents.vault import Vault
from tests.consents.customers import VAULT_KEY
from tests.consents.killing import Killer
from tests.consents.postgres import empty_database
from tests.consents.quick import INSTEAD


@pytest.fixture(scope="session")
def the_killer() -> Killer:
    """Runs commands and kills them."""
    return Killer()


Place = Callable[[], tuple[Path, str | None]]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where a vault may be made: a path, or the address of an empty database; another one at each call."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None

    def found() -> tuple[Path, str | None]:
        path = tmp_path_factory.mktemp("vault") / "vault.sqlite"
        return path, None if server is None else empty_database(server)

    return found


@pytest.fixture
def opens(place: Place) -> Iterator[Callable[..., Vault]]:
    """Opens one vault, as often as wanted; with `new` another one."""
    made: list[Vault] = []
    at: list[tuple[Path, str | None]] = []

    def opened(key: str | None = VAULT_KEY, *, new: bool = False, **more: Any) -> Vault:
        if new or not at:
            at.append(place())
        path, url = at[-1]
        made.append(Vault(path, key, url=url, **more))
        return made[-1]

    yield opened
    for vault in made:
        vault.close()


@pytest.fixture
def new_folder(tmp_path: Path, empty_raw: Path) -> Callable[[], Path]:
    """Makes data directories whose raw history has tables and no rows: the first load is not what is tested here."""
    made = 0

    def make() -> Path:
        nonlocal made
        made += 1
        folder = tmp_path / f"data-{made}"
        folder.mkdir()
        shutil.copy(empty_raw, folder / "raw.duckdb")
        return folder

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No dlt, no ledger: for what is about neither."""
    for module, name, way in INSTEAD:
        monkeypatch.setattr(module, name, way)
