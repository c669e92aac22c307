"""Limits Kontomatik's commands to eight over all workers, by a limit of the server. Our own limit holds in any case.

Prefect's count may be wrong: the place of a killed run stays taken until its lease ends, and for ever if the server restarts
before that. So a full count, or a server that is away, costs a wait but never the run. The slots of this machine
(`pipelines/read/command_slots.py`) or of all hosts that share a vault (`shared_slots.py`), and the bank itself, still prevent a
ninth command.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

COMMANDS = "kontomatik-commands"
AT_ONCE = 8
PATIENCE, AT_A_TIME = 60.0, 15.0
"""Seconds: after `PATIENCE` without a free place a run goes on without one; it logs a line every `AT_A_TIME`."""


class _Patience:
    """Counts the minute once per process: eight tasks in a queue must not wait a minute each."""

    def __init__(self) -> None:
        self._since: float | None = None

    def left(self) -> bool:
        """Returns whether to go on waiting. The first call starts the minute."""
        if self._since is None:
            self._since = monotonic()
        return monotonic() - self._since < PATIENCE

    def renew(self) -> None:
        """Starts the minute again, because the server gave a place."""
        self._since = None


_patience = _Patience()


@contextmanager
def place() -> Iterator[None]:
    """Holds one of the places while the block runs, if the server gives one within a minute."""
    held = _asked()
    try:
        yield
    finally:
        if held is not None:
            try:
                held.__exit__(None, None, None)
            except Exception as error:  # its lease runs out by itself
                get_run_logger().warning("A place could not be given back (%s)", type(error).__name__)


def _asked() -> AbstractContextManager[None] | None:
    while _patience.left():
        asked = concurrency(COMMANDS, occupy=1, timeout_seconds=AT_A_TIME, raise_on_lease_renewal_failure=False)
        try:
            asked.__enter__()
        except TimeoutError:
            get_run_logger().info("All %d places for Kontomatik's commands are taken; waiting", AT_ONCE)
        except Exception as error:
            get_run_logger().warning("Prefect's server gives no place (%s): going on without", type(error).__name__)
            return None
        else:
            _patience.renew()
            return asked
    get_run_logger().warning("No place was given back for a minute: going on without. `python -m flows tidy` counts them anew")
    return None


def set_limit(client: SyncPrefectClient) -> None:
    """Sets the limit of the server to eight places over all workers."""
    client.upsert_global_concurrency_limit_by_name(COMMANDS, AT_ONCE)


def taken(client: SyncPrefectClient) -> int:
    """Returns the number of places that the server counts as taken."""
    try:
        return client.read_global_concurrency_limit_by_name(COMMANDS).active_slots
    except ObjectNotFound:
        return 0


def count_anew(client: SyncPrefectClient) -> None:
    """Resets the count to zero, which is right when no run is under way."""
    client.update_global_concurrency_limit(COMMANDS, GlobalConcurrencyLimitUpdate(active_slots=0))
