"""What Prefect may log and keep of a failure: the sentence that the command line would print, and nothing else."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb
from typing import TypeVar, cast

from prefect.exceptions import PrefectHTTPStatusError
from prefect.utilities.annotations import quote

from pipelines.errors import Failure, where
from pipelines.text.sinks import line

Thing = TypeVar("Thing")


def whole(thing: Thing) -> Thing:
    """Hands `thing` to a task as it is: Prefect shall not look into it, nor take parts of it for results of other tasks."""
    return cast(Thing, quote(thing))


class PrefectAway(Failure):
    """The server went away in the middle of a run."""


def _server_is_away(error: Exception) -> bool:
    """Returns whether it came out of Prefect's own client: the banks' clients have errors of their own."""
    if isinstance(error, PrefectHTTPStatusError):
        return True
    return type(error).__module__.partition(".")[0] in ("httpx", "httpcore") and any(
        frame.filename.replace("\\", "/").find("/prefect/client/") >= 0 for frame in extract_tb(error.__traceback__)
    )


@contextmanager
def guarded() -> Iterator[None]:
    """Lets foreseen failures through; of any other it reports the kind and the line, since its text may hold a bank's row."""
    try:
        yield
    except Failure:
        raise
    except Exception as error:
        if _server_is_away(error):
            raise PrefectAway(
                f"Prefect's server did not answer ({type(error).__name__})", "Nothing is lost; the next run goes on"
            ) from None
        raise Failure(f"A fault in this program ({where(error)})", "Please report it with this line") from None


class _WithoutTraces(logging.Filter):
    """Prefect logs a failure with its trace. Ours say in a sentence what happened; a trace would only hide it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keeps every record, and takes the trace off those of foreseen failures."""
        if record.exc_info and isinstance(record.exc_info[1], Failure):
            record.exc_info, record.exc_text = None, None
        return True


class _OneLine(logging.Filter):
    """A name with a line break would forge a line of the log, one with an escape steer the terminal that shows it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keeps every record, its message on one line."""
        record.msg, record.args = line(record.getMessage()), None
        return True


def quiet() -> None:
    """Sets up Prefect's run logs: a line a message, and no traces of foreseen failures."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        for kind in (_WithoutTraces, _OneLine):
            if not any(isinstance(one, kind) for one in logger.filters):
                logger.addFilter(kind())
