"""What a bank sends is text: hostile names in every place that people read."""

import argparse
import ast
import json
from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from pipelines.commands import progress_bars, terminal
from pipelines.consents.consent_status import ConsentStatus
from pipelines.questions import ask_bank, doctor, explain, prove, status
from pipelines.questions.status import LastRun, Status
from pipelines.read.outcome import BankRun, Counts, Outcome
from pipelines.run import institutions, summary
from pipelines.run.report import Report
from pipelines.run.tables import renewal_text
from pipelines.text import sinks, tables
from sources._errors import Unexpected
from sources._links import web_link
from sources.kontomatik.dialects import Live, OpenApi
from tests.house.hostile import FRIENDLY, HOSTILE, steering

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
hostile = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)


def shown(draw: Any, width: int = 300) -> str:
    """What `draw(console)` prints on a terminal that wide."""
    file = StringIO()
    draw(Console(file=file, width=width, force_terminal=True, color_system=None))
    return file.getvalue()


# ---- the functions


@hostile
def test_a_line_is_one_line_and_steers_nothing(name: str) -> None:
    assert "\n" not in sinks.line(name)
    assert not steering(sinks.line(name))


@pytest.mark.parametrize("name", FRIENDLY)
def test_a_name_in_any_script_stays_as_it_is(name: str) -> None:
    assert sinks.line(name) == name


@given(st.text())
def test_whatever_is_sent_becomes_a_line_once_and_for_all(text: str) -> None:
    result = sinks.line(text)

    assert not steering(result)
    assert len(result.splitlines()) <= 1
    assert sinks.line(result) == result


@given(st.lists(st.text()))
def test_json_keeps_its_value_and_steers_nothing(content: Any) -> None:
    result = sinks.json_text(content)

    assert json.loads(result) == content
    assert len(result.splitlines()) == 1
    assert not steering(result)


@given(st.text() | st.sampled_from(list(HOSTILE.values())))
def test_markdown_shows_the_name_and_nothing_else(name: str) -> None:
    shown = sinks.markdown(name)
    result = MarkdownIt("gfm-like", {"linkify": False}).parse(shown or "x")

    assert [token.type for token in result] == ["paragraph_open", "inline", "paragraph_close"]
    assert {token.type for token in result[1].children or []} <= {"text", "text_special"}
    assert not shown or "".join(token.content for token in result[1].children or []).split() == sinks.line(name).split()


@hostile
def test_html_and_the_links_that_markdown_finds_by_itself_are_off(name: str) -> None:
    result = sinks.markdown(name)

    assert not set("<>") & set(result)
    assert not [begin for begin in ("https://", "file://", "www.", "eve@") if begin in result]


@hostile
def test_a_chat_calls_nobody_and_makes_no_link(name: str) -> None:
    for result in (sinks.chat(name), sinks.slack(name)):
        assert not [begin for begin in ("<!", "<@", "@here", "@channel", "@all", "!here", "://", "](", "www.") if begin in result]
    assert not set("<>") & set(sinks.slack(name))


# ---- the terminal


@hostile
def test_tables_and_sentences_show_markup_as_text(name: str) -> None:
    table = shown(lambda console: tables.show(console, name, ("bank", "account", "x"), [(name, "a", name)]))
    folded = shown(lambda console: tables.show(console, name, ("bank", "account", "x"), [(name, "a", name)]), width=10)
    sentence = shown(lambda console: tables.say(console, name))

    assert not steering(table + folded + sentence)
    assert table.count("\n") == 6
    assert (folded.count("\n"), sentence.count("\n")) == (2, 1)
    assert sinks.line(name).rstrip() in sentence


def a_run_of(name: str) -> Report:
    outcome = Outcome("kontomatik", NOW, "kontomatik:1", institution=name, account=name, unknown_fields=(name,))
    outcome.currency, outcome.balance, outcome.counts = name, Decimal(1), Counts(1, 0, 0)
    seconds = dict.fromkeys(("total", "extract", "load", "transform"), 1.0)
    return Report("r-1", [BankRun("kontomatik", [outcome.end("partial", name)])], seconds=seconds, notes=[name])


@hostile
def test_a_run_ends_whatever_its_bank_is_called(name: str) -> None:
    text, friendly = (shown(partial(summary.show, a_run_of(one))) for one in (name, "Bank"))

    assert not steering(text)
    assert f"\n! {sinks.line(name)} {sinks.line(name)}: " in text
    assert len(text.splitlines()) == len(friendly.splitlines())
    assert json.loads(summary.as_json(a_run_of(name)))["notes"] == [name]


@hostile
def test_progress_shows_markup_as_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StringIO()
    monkeypatch.setattr(progress_bars, "Console", lambda **_: Console(file=file, width=200))
    bars = progress_bars.Bars()
    bars.stage(name)
    bars.step(name, 1, 2)
    Console(file=file, width=200).print(bars._bars.get_renderable())

    assert not steering(file.getvalue())
    assert file.getvalue().count("\n") == 1


def a_consent(name: str, **other: Any) -> ConsentStatus:
    about = dict.fromkeys(one.name for one in fields(ConsentStatus)) | {"consent_id": "c-1", "institution": name}
    return ConsentStatus(**about | {"access_mode": "MULTIPLE"} | other)


def standing(name: str) -> list[str]:
    """What `status`, `catalog` and `doctor` show of a bank that is called so."""
    account = {"institution": name, "display_name": f"{name} {name}", "currency": name, "last_booked_on": None}
    account |= {
        "account_id": "kontomatik:1",
        "last_imported_at": None,
        "gone_at": "2026-03-01",
        **dict.fromkeys(("days", "missing_days", "reconciled_days"), 1),
        "held_since": None,
        "differs_from": None,
    }
    consent = a_consent(name, status="expired", reason=name)
    last = LastRun(
        **dict.fromkeys(one.name for one in fields(LastRun)) | {"status": "partial", "errors": [{"label": name, "reason": name}]}
    )
    listed = [account, account | {"gone_at": None}]
    stands = Status(lost=[], data_dir="data", clock=None, accounts=listed, consents=[consent], last_run=last)
    banks = [{"country": name, "institution": name, "name": name, "target": name, "access_modes": [name], "beta": True}]
    finding = doctor.Finding("bank", "wrong", name, name)
    draws = (partial(status.show, stands), partial(institutions.show, banks), partial(doctor.show, [finding]))
    return [shown(draw, width=2000) for draw in draws]


@hostile
def test_status_catalog_and_doctor_show_it_on_one_line(name: str) -> None:
    assert not steering("".join(standing(name)))
    assert [text.count("\n") for text in standing(name)] == [text.count("\n") for text in standing("Bank")]


def answers(name: str) -> list[str]:
    """What `explain`, `explain --ask-bank` and `prove` say of a bank and a payer that are called so."""
    row = {"transaction_id": "kontist:t", "description": name, "counterparty": name, "account_id": "kontist:a"}
    version = explain.Version(NOW, None, "v", {"import_id": "i-1"}, None, {"purpose": name})
    leg = {"amount": Decimal(1), "currency": name, "ledger_account": name, "decided_by": name}
    explained = explain.Explanation(
        transaction_id="kontist:t",
        account_id="kontist:a",
        account_name=name,
        source="kontist",
        now=row,
        versions=[version],
        history=[],
        rules=explain.Rules(
            status=explain.StatusRule("booked", "x"), category=[leg], transfer=[], in_transit=[], expected_payment=[]
        ),
    )
    asked = ask_bank.BankAnswer(NOW, "differs", [{"field": "name", "ledger": name, "bank": name}], None)
    proven = prove.Certificate(
        account={
            "account_id": "a",
            "institution": name,
            "account_type": name,
            "currency": name,
            "display_name": name,
            "iban_ends": name,
        },
        first=date(2026, 1, 1),
        last=date(2026, 1, 2),
        days={"total": 2},
        proof={"chain": 2},
        balances=dict.fromkeys(("opening_balance", "closing_balance", "money_in", "money_out")) | {"transactions": 0},
        seen_last_by=[],
        missing=[],
        seeds=[],
    )
    return [explain.text(explained), ask_bank.text(explained, asked), prove.text(proven)]


@hostile
def test_an_answer_about_it_has_no_line_that_is_not_ours(name: str) -> None:
    assert not steering("".join(answers(name)))
    assert [text.count("\n") for text in answers(name)] == [text.count("\n") for text in answers("Bank")]
    assert all(sinks.line(name) in text for text in answers(name))


@hostile
def test_what_is_said_and_every_error_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(name)
    terminal.print_error(argparse.Namespace(json=True), f"The bank {name} is away.", 1)
    said = capsys.readouterr()

    assert not steering(said.out + said.err)
    assert said.err.count("\n") == 1
    first, second = said.out.splitlines()
    assert first == sinks.line(name)
    assert json.loads(second)["error"] == f"The bank {name} is away."


def test_text_takes_no_other_way_to_a_terminal() -> None:
    """`ruff` forbids `print` outside of `terminal.py` (T20); here are the other ways."""
    settings = (ROOT / "pyproject.toml").read_text()
    assert [line.split(" = ")[0] for line in settings.splitlines() if '"T20"]' in line] == [
        '"benchmarks/**"',
        '"pipelines/commands/terminal.py"',
    ]
    ways = {}
    for folder in ("sources", "transforms", "pipelines", "flows"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            for node in ast.walk(ast.parse(text)) if ".print(" in text or ".write(" in text else ():
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if called.endswith(("console.print", "Console().print", "stdout.write", "stderr.write")):
                    ways[f"{path.relative_to(ROOT)}: {called}"] = None

    assert sorted(ways) == [
        "pipelines/__main__.py: sys.stderr.write",
        "pipelines/commands/streams.py: sys.stderr.write",
        "pipelines/text/tables.py: console.print",
        "transforms/catalog/__main__.py: sys.stderr.write",
    ]


# ---- links


NO_WEB_PAGE = [
    "javascript:alert(1)",
    "JavaScript:alert(1)//https://bank.example",
    "file:///etc/passwd",
    "data:text/html,x",
    "ms-settings:x",
    "//bank.example/x",
    "https:bank.example",
    "https:///x",
    "https://bank.example@evil.example/",
    "https://bank.example\\@evil.example/",
    "https://bаnk.example/",  # a Cyrillic letter
    "https://bank.example/ x",
    "https://bank.example/\n! c-1 is revoked",
    "https://bank.example/\x1b[2J",
    "https://bank.example/\u202e",
    "https://bank.example:99999/",
    "https://bank.example:0/",
    "https://[bank.example/",
    "https://bank.example/" + "x" * 5000,
]


@pytest.mark.parametrize("link", [*NO_WEB_PAGE, *HOSTILE.values()])
def test_a_link_to_sign_in_with_that_is_no_web_page_is_never_shown(link: str) -> None:
    assert web_link(link) is None
    with pytest.raises(Unexpected, match="no address of a web page") as refused:
        OpenApi().signing_in({"sessionId": "s", "redirectUrl": link})
    assert link not in str(refused.value)
    with pytest.raises(Unexpected, match="no address of a web page"):
        Live().signing_in({"redirectionId": "r", "redirectionLink": link})


@pytest.mark.parametrize(
    ("link", "opened"),
    [
        ("https://bank.example/authorize?id=1&x=a%20b#top", "https://bank.example/authorize?id=1&x=a%20b#top"),
        ("http://127.0.0.1:8080/kontobank/authorize?id=1", "http://127.0.0.1:8080/kontobank/authorize?id=1"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
        ("https://bank.example/ö?x=<script>|", "https://bank.example/%C3%B6?x=%3Cscript%3E%7C"),
    ],
)
def test_a_link_to_a_web_page_is_opened_as_a_browser_writes_it(link: str, opened: str) -> None:
    assert web_link(link) == opened
    assert Live().signing_in({"redirectionId": "r", "redirectionLink": link}).link == opened
    assert OpenApi().signing_in({"sessionId": "s", "redirectUrl": link}).link == opened


# ---- Markdown


@hostile
def test_a_consent_to_renew_brings_one_link_and_that_is_ours(name: str) -> None:
    one = a_consent(name, status="expiring", warning=7, days_left=5)
    result = MarkdownIt().parse(renewal_text([one], lambda _: "https://prefect.example/run"))

    assert [token.type for token in result if token.type != "inline"] == [
        *("bullet_list_open", "list_item_open", "paragraph_open"),
        *("paragraph_close", "list_item_close", "bullet_list_close"),
    ]
    links = [part.attrs["href"] for token in result for part in token.children or [] if part.type == "link_open"]
    assert links == ["https://prefect.example/run"]
