"""The record that a program keeps of one of its runs: times, counts and fixed words, so nothing of a customer can be in it."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

Status = Literal["ok", "partial", "failed", "checks_failed", "interrupted"]
"""The first four as `run --json` has them. `interrupted`: a person or the system ended it, by Ctrl-C or SIGTERM."""
_Moment = Annotated[datetime, Meta(tz=True)]
_Seconds = Annotated[float, Meta(ge=0, le=10**8)]
_Count = Annotated[int, Meta(ge=0, le=10**12)]


class RunRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run. A value is None where the run did not come so far, or is still to come there.

    Without `status` the run has not ended: it is at work, or it was killed. The columns of `runs` in `columns.toml` say what each
    value means.
    """

    run_id: Annotated[str, Meta(pattern=r"^[\w.-]{1,64}\Z")]
    started_at: _Moment
    ended_at: _Moment | None = None
    status: Status | None = None
    extract_seconds: _Seconds | None = None
    load_seconds: _Seconds | None = None
    transform_seconds: _Seconds | None = None
    total_seconds: _Seconds | None = None
    requests: _Count = 0
    checks_passed: _Count | None = None
    checks_failed: _Count | None = None
    quarantined_rows: _Count = 0
    open_accounts: _Count | None = None
    stale_accounts: _Count | None = None
