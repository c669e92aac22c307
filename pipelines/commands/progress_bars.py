"""Progress bars for a person at a terminal."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipelines.read.options import Progress as Hearing
from pipelines.text.sinks import line


class Bars(Hearing):
    """One line that says what is being done, and a bar where the number of steps is known."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bars.add_task("Starting", total=None)

    def __enter__(self) -> "Bars":
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def stage(self, text: str) -> None:
        """Shows that a stage begins."""
        self._bars.update(self._task, description=line(text), total=None, completed=0)

    def step(self, text: str, done: int, total: int) -> None:
        """Shows one of a known number of steps."""
        self._bars.update(self._task, description=line(text), total=total, completed=done)
