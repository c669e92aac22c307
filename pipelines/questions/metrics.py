"""Writes how things stand as OpenMetrics text, for a monitor that reads a file. Shows no name, and only the end of a number."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Failure
from pipelines.store.atomic_files import replacing
from pipelines.store.private import share_as_before
from pipelines.text.sinks import line

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from pipelines.consents.consent_status import ConsentStatus
    from pipelines.questions.status import LastRun, Status
    from pipelines.run.freshness import Expected

STATUSES = ("ok", "partial", "failed", "checks_failed")
"""What a run ends as (`Report.status`)."""
_ACCOUNT = ("account_id", "source", "institution", "ending")
_CONSENT = ("consent_id", "source", "institution")

Samples = Iterable[tuple[Iterable[str], int | float]]
"""Values of labels, and the value."""


def exposition(status: "Status", expected: "Expected", now: datetime) -> str:
    """Returns how things stand as OpenMetrics text; an unknown value is left out."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.openmetrics.exposition import generate_latest
    from prometheus_client.registry import Collector

    class Gathered(Collector):
        def collect(self) -> Iterator["Metric"]:
            yield from _accounts(status.accounts, expected, now)
            yield from _consents(status.consents, expected)
            yield from _last_run(status.last_run)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Gathered())
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode()


def write(path: Path, text: str) -> None:
    """Puts the text in place as a whole, for readers as a ledger has them. Raises `Failure` when that cannot be done."""
    try:
        with replacing(path) as new:
            new.write_text(text, encoding="utf-8")
            share_as_before(new, path)
    except OSError as error:
        raise Failure(
            f"The metrics cannot be written to {path} ({error.strerror})", "Name a file where there is room and we may write"
        ) from None


def _accounts(listed: Iterable[Mapping[str, Any]], expected: "Expected", now: datetime) -> Iterator["Metric"]:
    known = [one for one in listed if one["gone_at"] is None]
    labels = {one["account_id"]: [line(one[name]) for name in _ACCOUNT] for one in known}
    ages = [(labels[one["account_id"]], _age(one["last_imported_at"], now)) for one in known if one["last_imported_at"]]
    yield _gauge("account_age_seconds", "Time since the account was last read", _ACCOUNT, ages, unit="seconds")
    wanted = [(labels[one["account_id"]], int(one["account_id"] in expected.accounts)) for one in known]
    yield _gauge("account_expected", "1 where a consent or a login should read the account", _ACCOUNT, wanted)
    shares = [(labels[one["account_id"]], round(one["reconciled_days"] / one["days"], 6)) for one in known if one["days"]]
    yield _gauge(
        "account_reconciled_ratio", "Share of its days reconciled with the bank's balances", _ACCOUNT, shares, unit="ratio"
    )
    held = [(labels[one["account_id"]], int(one["held_since"] is not None)) for one in known]
    yield _gauge("account_held", "1 while removed or changed rows are held for confirmation", _ACCOUNT, held)
    differing = [(labels[one["account_id"]], int(one["differs_from"] is not None)) for one in known]
    yield _gauge("account_differs", "1 while the bank's balances contradict the movements of the ledger", _ACCOUNT, differing)


def _consents(listed: Iterable["ConsentStatus"], expected: "Expected") -> Iterator["Metric"]:
    over = {consent.consent_id for consent in expected.over}
    known = [one for one in listed if one.consent_id in over or one.usable]
    labels = {one.consent_id: [line(getattr(one, name)) for name in _CONSENT] for one in known}
    ended = [(labels[one.consent_id], int(one.consent_id in over)) for one in known]
    yield _gauge("consent_over", "1 where the consent is over and nothing reads its accounts", _CONSENT, ended)
    days = [(labels[one.consent_id], one.days_left) for one in known if one.days_left is not None]
    yield _gauge("consent_days_left", "Whole days until the consent ends", _CONSENT, days)
    left = [(labels[one.consent_id], one.imports_left) for one in known if one.imports_left is not None]
    yield _gauge("consent_imports_left", "Imports left of the bank's quota for 24 hours", _CONSENT, left)


def _last_run(last: "LastRun | None") -> Iterator["Metric"]:
    """Yields the metrics of the last run, without samples where none is on record."""
    seconds = (last.seconds or {}).get("total") if last else None
    took: Samples = [((), seconds)] if seconds is not None else []
    yield _gauge("last_run_seconds", "How long the last run took", (), took, unit="seconds")
    ended = [((status,), int(last.status == status)) for status in STATUSES] if last else []
    yield _gauge("last_run_status", "1 for the status that the last run ended with", ("status",), ended)


def _gauge(name: str, about: str, labels: Iterable[str], samples: Samples, *, unit: str = "") -> "Metric":
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(f"kontoledger_{name}", about, labels=list(labels), unit=unit)
    for values, value in samples:
        family.add_metric(list(values), value)
    return family


def _age(last: str, now: datetime) -> int:
    return max(0, int((now - datetime.fromisoformat(last)).total_seconds()))
