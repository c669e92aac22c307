"""Shows a run in Prefect's UI. All of it is bookkeeping: when it fails the run goes on."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.settings import get_current_settings

from pipelines.notify.notices import Notice
from pipelines.read.options import Progress
from pipelines.text import sinks

EVERY = 2.0
"""Seconds between two updates of a progress artifact."""


def table(key: str, about: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Shows a table under `key`; with no rows, a sentence that says so."""
    shown, text = [{name: sinks.cell(value) for name, value in row.items()} for row in rows], sinks.markdown(about)
    if shown:
        _kept(lambda: create_table_artifact(shown, key=key, description=text))
    else:
        _kept(lambda: create_markdown_artifact("Nothing.", key=key, description=text))


def markdown(key: str, about: str, text: str) -> None:
    """Shows Markdown under `key`; texts of banks in it have gone through `sinks.markdown`."""
    _kept(lambda: create_markdown_artifact(text, key=key, description=sinks.markdown(about)))


def why(about: str, reason: str) -> None:
    """Shows why a run did not do its work: a sentence, or one on each line after `- `."""
    parts = [one.partition("- ") if one.startswith("- ") else ("", "", one) for one in reason.split("\n")]
    markdown("kontoledger-why", about, "\n".join(f"{sign}{sinks.markdown(sentence)}" for _, sign, sentence in parts))


def link(key: str, about: str, url: str, text: str) -> None:
    """Shows a link under `key`. Prefect writes it as Markdown, where a parenthesis would end it."""
    whole = url.replace("(", "%28").replace(")", "%29")
    _kept(lambda: create_link_artifact(whole, sinks.markdown(text), key=key, description=sinks.markdown(about)))


def custom_run(name: str, parameters: Mapping[str, Any]) -> str | None:
    """Returns the UI's page that starts a deployment with these parameters; None without a UI or such a deployment."""
    try:
        with get_client(sync_client=True) as client:
            own = client.read_deployment_by_name(f"{name}/{name}").id
    except Exception:  # a link less: the command beside it does the same
        return None
    ui = get_current_settings().ui_url
    return f"{ui}/deployments/deployment/{own}/run?parameters={quote(json.dumps(parameters))}" if ui else None


def named(name: str) -> None:
    """Gives the run under way its name."""

    def rename() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(str(flow_run.id)), name=sinks.line(name))

    _kept(rename)


def emitted(notice: Notice) -> bool:
    """Sends a notice as an event. Implements `Send` of the outbox."""
    about, _, _ = notice.kind.partition(".")
    resource = {
        "prefect.resource.id": f"kontoledger.{about}.{notice.key.partition(' ')[0]}",
        "prefect.resource.name": sinks.line(notice.subject),
    }
    payload = notice.payload | {"subject": sinks.line(notice.subject), "text": sinks.lines(notice.text)}
    return emit_event(notice.event, resource, payload=payload) is not None


class Shown(Progress):
    """Progress as an artifact, and stages as lines of the log. Called from several threads."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._artifact: UUID | None = None
        self._shown_at = float("-inf")
        self._logger = get_run_logger()

    def stage(self, text: str) -> None:
        """Writes one line into the log."""
        self._logger.info(text)

    def step(self, text: str, done: int, total: int) -> None:
        """Shows the progress of the ledger, from 70 to 100 percent."""
        self.reached(70 + 30 * done / max(1, total), text)

    def reached(self, percent: float, text: str) -> None:
        """Shows the progress: every two seconds, and at the end."""
        with self._lock:
            if time.monotonic() - self._shown_at < EVERY and percent < 100:
                return
            self._shown_at = time.monotonic()
            _kept(lambda: self._publish(percent, text))

    def _publish(self, percent: float, text: str) -> None:
        if self._artifact is None:
            self._artifact = cast(UUID, create_progress_artifact(percent, key=self._key, description=sinks.markdown(text)))
        else:
            update_progress_artifact(self._artifact, percent, description=sinks.markdown(text))


def _kept(work: Callable[[], Any]) -> None:
    try:
        work()
    except Exception as error:  # the ledger is fine without it
        get_run_logger().warning("Not shown in the UI (%s); the run itself goes on.", type(error).__name__)
