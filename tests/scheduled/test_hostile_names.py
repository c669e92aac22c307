"""What Prefect shows, logs and sends of a bank that is called what no bank should be called."""

import json
import logging
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markdown_it import MarkdownIt
from prefect.logging.formatters import JsonFormatter

from flows import artifacts, guard
from pipelines.errors import Failure
from tests.house.hostile import HOSTILE, steering

AUTOMATIONS = Path(__file__).parents[2] / "deploy" / "automations.yaml"
hostile = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Markdown of every artifact, and the description of each, which is Markdown too."""
    found: list[str] = []

    def keep(*given: Any, key: str, description: str) -> None:
        text = f"[{given[1]}]({given[0]})" if len(given) == 2 else given[0]
        found.extend([description, text if isinstance(text, str) else json.dumps(text)])

    for kind in ("table", "markdown", "link"):
        monkeypatch.setattr(artifacts, f"create_{kind}_artifact", keep)
    monkeypatch.setattr(artifacts, "_kept", lambda work: work())
    return found


def parts(text: str) -> list[str]:
    """What Markdown makes of it, but for text."""
    tokens = MarkdownIt().parse(text)
    inline = [part.type for token in tokens for part in token.children or []]
    return [kind for kind in (*(token.type for token in tokens), *inline) if kind not in ("inline", "text", "text_special")]


@hostile
def test_an_artifact_shows_the_name_and_no_link_but_ours(name: str, made: list[str]) -> None:
    artifacts.why(name, name.replace("\n", " "))
    artifacts.link("a", name, "https://bank.example/?x=(1)", name)
    artifacts.table("b", name, [{"bank": name, "rows": 1, "why": None}])
    about, why, *_, linked, _, table = made

    assert parts(about) == parts(why) == ["paragraph_open", "paragraph_close"]
    assert parts(linked) == ["paragraph_open", "paragraph_close", "link_open", "link_close"]
    assert linked.endswith("](https://bank.example/?x=%281%29)")
    (row,) = json.loads(table)
    assert (row["rows"], row["why"]) == (1, None)
    assert "](" not in row["bank"]
    assert not steering(row["bank"] + about + why + linked)


def test_reasons_of_several_runs_are_a_list(made: list[str]) -> None:
    artifacts.why("Sign-ins", "- [a](javascript:x)\n- b")

    assert parts(made[1]).count("list_item_open") == 2
    assert "link_open" not in parts(made[1])


@hostile
def test_a_line_of_the_log_is_one_line_plain_or_as_json(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("prefect.flow_runs")
    monkeypatch.setattr(logger, "filters", [])
    monkeypatch.setattr(logger, "propagate", False)
    plain, in_json = StringIO(), StringIO()
    handlers = [logging.StreamHandler(plain), logging.StreamHandler(in_json)]
    handlers[1].setFormatter(JsonFormatter("default", None, "%"))
    monkeypatch.setattr(logger, "handlers", handlers)
    guard.quiet()
    guard.quiet()

    logger.warning("Skipped: %s", name)
    logger.warning(f"Skipped: {name}")
    logger.error("Failed", exc_info=(Failure, Failure(name), None))

    assert not steering(plain.getvalue() + in_json.getvalue())
    assert [line.partition(":")[0] for line in plain.getvalue().splitlines()] == ["Skipped", "Skipped", "Failed"]
    assert [json.loads(line)["message"].partition(":")[0] for line in in_json.getvalue().splitlines()] == [
        "Skipped",
        "Skipped",
        "Failed",
    ]
    assert len(logger.filters) == 2


@hostile
def test_an_automation_calls_nobody(name: str) -> None:
    result = yaml.safe_load(AUTOMATIONS.read_text(encoding="utf-8"))["definitions"]["notify"]
    state = {"name": "Failed", "message": name}
    for text in (result["subject"], result["body"]):
        sent = ImmutableSandboxedEnvironment().from_string(text).render(flow_run={"name": name, "state": state})
        assert not [begin for begin in ("<", "@here", "@channel", "@all", "://") if begin in sent]
