"""What can go wrong while the ledger is built or checked.

TransformError
├── RawUnreadable      the raw history is missing, damaged or of another format; a person must put it back
├── LedgerUnreadable   the published ledger is missing, damaged or of another version; building it again fixes it
├── SeedUnreadable     a file that people edit (accounts, categories, rules ...) is not what it must be; they correct it
├── ModelError         a model cannot be read, ordered or run; a bug, or data that no model expects
├── OutOfMemory        the memory limit is too small for this history
└── CannotWrite        the new file cannot be written
    └── OutOfSpace     the disk is full
"""

from pathlib import Path

BUILD_AGAIN = "build it again with `python -m pipelines transform`"


class TransformError(Exception):
    """Any failure between the raw history and a checked ledger. Its text names files and models, never a row."""


class RawUnreadable(TransformError):
    """The raw history cannot be read. It cannot be fetched again in full, so the text says how to go back."""

    def __init__(self, raw: Path, cause: str) -> None:
        previous = raw.with_name(f"{raw.stem}.previous{raw.suffix}")
        if previous.exists():
            step = (
                f"the file of the run before is beside it: keep the unreadable one, copy {previous.name} to {raw.name}, "
                "then build the ledger again with `python -m pipelines transform`"
            )
        else:
            step = f"there is no {previous.name} beside it: bring {raw.name} back from a backup, or start with a new run"
        super().__init__(f"The raw history {raw} cannot be read: {cause}. To go on: {step}.")


class LedgerUnreadable(TransformError):
    """The ledger file cannot be read. It holds nothing that the raw history does not."""

    def __init__(self, ledger: Path, cause: str) -> None:
        super().__init__(f"The ledger {ledger} cannot be read: {cause}. To go on: {BUILD_AGAIN}.")


class SeedUnreadable(TransformError):
    """A seed file cannot be read or says something impossible. Its text names the file and the row, never what stands there."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(
            f"The seed {path} cannot be used: {cause}. To go on: correct it, or move it away to use the one that comes with the"
            " program. The ledger published before is as it was."
        )


class ModelError(TransformError):
    """A model cannot be read, ordered or run."""


class OutOfMemory(TransformError):
    """The memory limit is too small for this history."""


class CannotWrite(TransformError):
    """The new ledger cannot be written; the one published before is as it was."""


class OutOfSpace(CannotWrite):
    """The disk is full."""
