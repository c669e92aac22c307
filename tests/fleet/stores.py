"""Where the tests' fleets keep their raw histories, and what is found there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """A store, as tests look at it."""

    @property
    def address(self) -> str:
        """Returns the setting `fleet.store`."""

    def counts(self) -> list[int]:
        """Returns how many objects each cell has, by the cells' names."""

    def contents(self) -> list[bytes]:
        """Returns everything that can be read there, older versions too."""


@dataclass(frozen=True)
class Folder:
    """A folder that all machines see."""

    path: Path

    @property
    def address(self) -> str:
        """Returns the setting `fleet.store`."""
        return f"file://{self.path}"

    def counts(self) -> list[int]:
        """Returns how many objects each cell has, by the cells' names."""
        return [len(list(folder.iterdir())) for folder in sorted(self.path.iterdir())]

    def contents(self) -> list[bytes]:
        """Returns each file."""
        return [path.read_bytes() for path in self.path.rglob("*") if path.is_file()]
