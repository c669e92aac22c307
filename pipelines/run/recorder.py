"""Records one run in the history of runs (`store/run_history.py`): at its beginning, before its ledger, and at its end."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.run.report import Report
from pipelines.store import run_history

if TYPE_CHECKING:
    from transforms.run_record import Status


class Recorder:
    """The record of one run. A run that is killed leaves one without an end."""

    def __init__(self, data_dir: Path, report: Report, now: Callable[[], datetime]) -> None:
        from sources._http import requests_sent

        self._data_dir = data_dir
        self._report = report
        self._now = now
        self._started_at = now()
        self._begun = time.perf_counter()
        self._sent_before = requests_sent()

    def keep(self) -> None:
        """Records the run as far as it has come."""
        self._write(None)

    def end(self, error: BaseException | None) -> None:
        """Records how the run has ended; `error` is what has broken it off."""
        if error is None:
            self._write(self._report.status)
        else:
            self._write("failed" if isinstance(error, Exception) else "interrupted")

    def _write(self, status: "Status | None") -> None:
        from sources._http import requests_sent
        from transforms.run_record import RunRecord

        report, seconds = self._report, self._report.seconds
        ended = status is not None
        total = seconds.get("total", time.perf_counter() - self._begun)
        checked = bool(report.checks)
        failed = sum(not check.passed for check in report.checks)
        looked = report.published is not None
        trouble = run_history.keep(
            self._data_dir,
            RunRecord(
                run_id=report.run_id,
                started_at=self._started_at,
                ended_at=self._now() if ended else None,
                status=status,
                extract_seconds=_rounded(seconds.get("extract")),
                load_seconds=_rounded(seconds.get("load")),
                transform_seconds=_rounded(seconds.get("transform")),
                total_seconds=_rounded(total) if ended else None,
                requests=requests_sent() - self._sent_before,
                checks_passed=len(report.checks) - failed if checked else None,
                checks_failed=failed if checked else None,
                quarantined_rows=sum(outcome.quarantined for outcome in report.outcomes),
                open_accounts=sum(account["gone_at"] is None for account in report.accounts) if looked else None,
                stale_accounts=len(report.stale) if looked else None,
            ),
        )
        if trouble is not None:
            report.notes.append(trouble)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
