"""Objects that hold raw histories: what is damaged or missing is refused, and what was in place stays."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import WrongUsage
from pipelines.fleet.raw_store import RawStore, StoreBroken
from pipelines.fleet.s3_versions import Stored

SECRET = "s3cr3t"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw history, as far as a store knows one."""
    path = tmp_path / "raw.duckdb"
    path.write_bytes(b"history" * 1000)
    return path


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RawStore:
    """An empty store."""
    return RawStore(f"{request.param}://{tmp_path}/store")


def test_what_is_stored_comes_back_for_its_owner_only_and_each_version_is_an_object_of_its_own(
    store: RawStore, raw: Path, tmp_path: Path
) -> None:
    assert store.names("cell-0001") == []
    first, digest = store.put(raw, "cell-0001", 1)
    raw.write_bytes(b"changed")
    second, _ = store.put(raw, "cell-0001", 1)

    store.fetch(first, digest, raw)

    assert raw.read_bytes() == b"history" * 1000
    assert raw.stat().st_mode & 0o777 == 0o600
    assert store.names("cell-0001") == sorted([first, second])
    store.remove(Stored(first))
    store.remove(Stored(first))
    assert store.names("cell-0001") == [second]
    assert sorted(path.name for path in raw.parent.glob("raw*")) == ["raw.duckdb"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda store, name: store.remove(Stored(name)), r"cannot be used \(FileNotFoundError\)"),
        (lambda store, name: store._files.pipe_file(store._path(name), b"cut"), "its SHA-256 differs"),
    ],
)
def test_an_object_that_is_missing_or_damaged_replaces_nothing(
    store: RawStore, raw: Path, spoil: Callable[[RawStore, str], Any], sentence: str
) -> None:
    name, digest = store.put(raw, "cell-0001", 1)
    raw.write_bytes(b"here")
    spoil(store, name)
    with pytest.raises(StoreBroken, match=sentence):
        store.fetch(name, digest, raw)
    assert raw.read_bytes() == b"here"
    assert sorted(path.name for path in raw.parent.glob("raw*")) == ["raw.duckdb"]


def test_a_store_that_fails_is_named_without_what_its_error_says(
    store: RawStore, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise PermissionError(SECRET)

    for name in ("put_file", "ls", "rm_file"):
        monkeypatch.setattr(type(store._files), name, failing)
    for way in (lambda: store.put(raw, "c", 1), lambda: store.names("c"), lambda: store.remove(Stored("c/1"))):
        with pytest.raises(StoreBroken, match=r"cannot be used \(PermissionError\)") as failed:
            way()
        assert SECRET not in str(failed.value)
        assert failed.value.exit_status == 1


def test_an_address_of_an_unknown_kind_is_refused_without_repeating_it() -> None:
    with pytest.raises(WrongUsage, match=r"fleet\.store is no address") as refused:
        RawStore(f"nowhere://{SECRET}/raw")
    assert SECRET not in str(refused.value)


def test_a_store_without_space_is_named_as_that(store: RawStore, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, SECRET)

    monkeypatch.setattr(type(store._files), "put_file", full)
    with pytest.raises(StoreBroken, match=r"cannot be used \(OSError: No space left on device\)"):
        store.put(raw, "c", 1)
