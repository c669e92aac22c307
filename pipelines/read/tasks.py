"""Lists what one run reads, as tasks that stand alone: Kontist's login, and each consent of Kontomatik.

Tasks are read in any order and in parallel, by a thread pool of ours or as a scheduler's own tasks. One that fails, foreseen or
not, leaves the others' answers alone.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pipelines.errors import Failure, RawBroken, where
from pipelines.read.bank_reader import READERS, BankReader, Reads, ReadTask, failed
from pipelines.read.outcome import BankRun, Outcome, Reading
from pipelines.store.banks import Bank
from sources._errors import SourceError, is_retryable


class ReadTasks:
    """The tasks of one run, and what was read of each."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._context = reads.context
        self._reads_ended = threading.Condition()
        self._under_way = 0
        self._closing = False
        self._readings: dict[str, Reading] = {}
        self._readers: dict[Bank, BankReader] = {}
        self.listed: dict[str, ReadTask] = {}
        """By name; of Kontomatik the most urgent consent first."""
        self.listing_failed: dict[Bank, BankRun] = {}
        """The banks whose tasks could not be listed, and how that failed."""

    def find(self, wanted: Sequence[Bank]) -> None:
        """Lists the tasks of these banks."""
        for bank in wanted:
            self._readers[bank] = READERS[bank](self._reads)
            failure = self._failure(bank, partial(self._list, bank))
            if failure is not None:
                self.listing_failed[bank] = failure

    def read(self, name: str) -> Sequence[Outcome]:
        """Reads one task; returns an outcome an account. Raises `RawBroken` when the disk refuses, nothing else.

        A consent is never asked twice in a run, whoever asks for it again; a login may be, and its last answer counts.
        """
        task = self.listed[name]
        if task.bank.by_consent and name in self._readings:
            return self._readings[name].run.outcomes
        with self._reads_ended:
            self._under_way += 1
        try:
            failure = self._failure(task.bank, lambda: self._read(task))
            if failure is not None:
                self._readings[name] = Reading(failure)
        finally:
            with self._reads_ended:
                self._under_way -= 1
                self._reads_ended.notify_all()
        return self._readings[name].run.outcomes

    def read_all(self) -> None:
        """Reads every task, all banks at once."""
        parallel = min(len(self.listed), 1 + max(1, self._context.settings.kontomatik.max_parallel_commands))
        pool = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="reading")
        try:
            for future in [pool.submit(self.read, name) for name in self.listed]:
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def joined(self) -> dict[Bank, Reading]:
        """Returns one reading a bank."""
        found: dict[Bank, Reading] = {}
        for bank, reader in self._readers.items():
            if bank in self.listing_failed:
                found[bank] = Reading(self.listing_failed[bank])
            else:
                tasks = [task for task in self.listed.values() if task.bank is bank]
                found[bank] = reader.joined([self._readings.get(task.name) or Reading(self._unread(task)) for task in tasks])
        return found

    def close(self, *, wait: bool = False) -> None:
        """Closes the clients: a read that is under way fails at its next request. `wait`: returns once all have ended."""
        self._closing = True
        self._reads.open.close()
        if wait:
            with self._reads_ended:
                self._reads_ended.wait_for(lambda: self._under_way == 0)

    def _list(self, bank: Bank) -> None:
        self.listed |= {task.name: task for task in self._readers[bank].find()}

    def _read(self, task: ReadTask) -> None:
        self._readings[task.name] = self._readers[task.bank].read(task)

    def _failure(self, bank: Bank, work: Callable[[], None]) -> BankRun | None:
        """Does `work`; returns how it failed, None when it did not. Raises only what no bank can cause."""
        try:
            work()
        except OSError as error:
            cause = f"What {bank.name} sent could not be kept ({error.strerror or error})"
            raise RawBroken(cause, "Make room, then run again") from None
        except Failure:
            raise
        except SourceError as error:
            return failed(bank, self._context, str(error), retryable=is_retryable(error))
        except Exception as error:  # a bug in one bank's reader must not cost the other bank's data
            if self._closing:  # its client was closed under it
                return failed(bank, self._context, f"{bank.name} was interrupted: the run was stopped")
            fault = f"{bank.name}: a fault in this program ({where(error)}). Please report it with this line"
            return failed(bank, self._context, fault)
        return None

    def _unread(self, task: ReadTask) -> BankRun:
        reason = f"{task.name} was not read: its part of the run did not come to an end"
        return failed(task.bank, self._context, reason)
