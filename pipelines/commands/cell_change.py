"""Gives the commands that change raw history the lease of a fleet's cell, and keeps there what they have changed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.settings import Settings
    from pipelines.store.raw_copy import HistoryKeeper


def keeper_of(settings: "Settings", *, fetching: bool = True) -> "AbstractContextManager[HistoryKeeper | None]":
    """Returns what keeps the raw history of a fleet's cell, and holds its lease; nothing for any other data directory.

    Without `fetching` the newest raw history is not fetched first, because it is about to be replaced.
    """
    if settings.cell is None:
        return nullcontext()
    from pipelines.fleet.cell_keeper import at_work

    return at_work(settings, settings.cell, fetching=fetching)


@contextmanager
def changing(settings: "Settings", command: str, *, fetching: bool = True, patience: float = 0) -> Iterator[None]:
    """Holds the data directory's lock while the block runs, and the lease of its cell; then keeps the raw history that it made.

    Raises `WrongUsage` in a fleet for a data directory that is no cell: nothing would ever read it.
    """
    from pipelines.store.lock import held

    refuse_outside_cells(settings, command)
    with held(settings.data_dir, command, patience), keeper_of(settings, fetching=fetching) as keeper:
        yield
        if keeper is not None:
            keeper.keep()


def refuse_outside_cells(settings: "Settings", command: str) -> None:
    """Raises `WrongUsage` in a fleet for a data directory that is no cell."""
    from pipelines.errors import WrongUsage

    if settings.fleet.cells and settings.cell is None:
        raise WrongUsage(
            f"With a fleet (fleet.cells = {settings.fleet.cells}) `{command}` changes a cell, and {settings.data_dir} is none",
            f"Name its folder: --data-dir {settings.fleet.folder}/cell-0000",
        )
