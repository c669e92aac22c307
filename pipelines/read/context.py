"""What every step of one run works with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.read.options import Options, Progress
from pipelines.settings import Settings
from pipelines.store.raw_copy import RawCopy

if TYPE_CHECKING:
    from pipelines.consents.vault import Vault


@dataclass(frozen=True)
class RunContext:
    """One run: its settings and options, the files that it works on, and who is shown its progress."""

    settings: Settings
    options: Options
    history: RawCopy
    vault: "Vault | None"
    """None: nothing was ever connected, and nothing of this run needs one."""
    progress: Progress
    now: Callable[[], datetime]
