"""The server's eight places for Kontomatik's commands, over all workers: a fence outside our own, which holds in any case.

Prefect's count may be wrong: a killed run's place stays taken until its lease runs out, and for good when the server is started
anew before that. So a full count, or a server that is away, costs a wait and never the run: the slots on this machine
(`pipelines/read/command_slots.py`), the quota record and the bank itself still stand between us and a ninth command.
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
"""Seconds: so long without a place being given, and a run goes on without; a line in the log as often as this."""


class _Patience:
    """A process's own: eight tasks that wait behind each other are not to wait a minute each."""

    def __init__(self) -> None:
        self._since: float | None = None

    def left(self) -> bool:
        """Whether to go on waiting; the first to ask starts the minute."""
        if self._since is None:
            self._since = monotonic()
        return monotonic() - self._since < PATIENCE

    def renew(self) -> None:
        """A place was given: the count moves."""
        self._since = None


_patience = _Patience()


@contextmanager
def place() -> Iterator[None]:
    """Hold one of the places while the block runs, if the server gives one within a minute."""
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
    """Let the server hand out eight places, over all workers."""
    client.upsert_global_concurrency_limit_by_name(COMMANDS, AT_ONCE)


def taken(client: SyncPrefectClient) -> int:
    """How many places the server counts as taken."""
    try:
        return client.read_global_concurrency_limit_by_name(COMMANDS).active_slots
    except ObjectNotFound:
        return 0


def count_anew(client: SyncPrefectClient) -> None:
    """Say that none is taken, which is so when no run is under way."""
    client.update_global_concurrency_limit(COMMANDS, GlobalConcurrencyLimitUpdate(active_slots=0))
