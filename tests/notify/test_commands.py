"""`python -m pipelines notify`, and what a run says of notices that could not be sent."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.commands import cli
from pipelines.notify.dispatch import TEST
from pipelines.settings import Settings
from sources.sandbox import World
from tests.notify.receivers import a_hook, a_post, nobodys_port
from tests.scheduled.desk import consent, days_before_its_end
from tests.support import VAULT_KEY, Ended, a_bank, environment

Pipelines = Callable[..., Ended]


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Pipelines]:
    """`python -m pipelines …` in this process, in an empty folder."""

    def ended(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", ended)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setenv("PIPELINES__VAULT_KEY", VAULT_KEY)
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def called(*arguments: str, **environ: str) -> Ended:
        with monkeypatch.context() as inside:
            for name, value in environ.items():
                inside.setenv(name, value)
            with pytest.raises(SystemExit) as ending:
                cli.main([*arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return Ended(int(str(ending.value.code)), said.out, said.err)

    yield called
    for number, way in before.items():
        signal.signal(number, way)


@pytest.fixture
def a_warning(settings: Settings) -> str:
    """There is something to notify of: a consent that ends in five days, by the clock on the wall. It is stored under this id."""
    return consent(settings, days_before_its_end(datetime.now(UTC), 5))


def hook_at(url: str) -> dict[str, str]:
    return {"NOTIFICATIONS__WEBHOOK_URL": url}


# ---- notify


@pytest.mark.parametrize("option", [[], ["--test"]])
def test_with_no_recipient_it_names_the_settings(pipelines: Pipelines, option: list[str]) -> None:
    said = pipelines("notify", *option)

    assert (said.status, said.out) == (2, "")
    assert said.err == "No notification channel is configured. Set notifications.email_to, .webhook_url, .slack_url or .urls.\n"


@pytest.mark.parametrize("option", [[], ["--test"]])
def test_a_wrong_address_is_wrong_usage(pipelines: Pipelines, option: list[str]) -> None:
    said = pipelines("notify", *option, **hook_at("http://us3r:s3cr3t@[/"))

    assert said.status == 2
    assert said.err == "The setting notifications.webhook_url is no http or https address. Correct it.\n"


def test_a_test_reaches_the_others_when_one_address_is_wrong(pipelines: Pipelines) -> None:
    with a_hook() as hook:
        said = pipelines("notify", "--test", **hook_at(hook.url), NOTIFICATIONS__URLS="nobody-knows-this://s3cr3t@example.com")

    assert (said.status, len(hook.heard)) == (2, 1)
    assert said.err == "The setting notifications.urls holds an address that apprise does not know. Correct it.\n"


def test_before_the_first_run_there_is_nothing_to_notify_of(pipelines: Pipelines, tmp_path: Path) -> None:
    with a_hook() as hook:
        said = pipelines("notify", "--data-dir", str(tmp_path / "new" / "data"), **hook_at(hook.url))

    assert (said.status, said.out, said.err, hook.heard) == (0, "0 notices sent.\n", "", [])


def test_what_waits_is_sent_once(pipelines: Pipelines, a_warning: str) -> None:
    with a_hook() as hook:
        said = pipelines("notify", **hook_at(hook.url))
        again = pipelines("notify", "--json", **hook_at(hook.url))

    assert (said.status, said.out, said.err) == (0, "1 notice sent.\n", "")
    assert [call.said["payload"]["consent_id"] for call in hook.heard] == [a_warning]
    assert (again.status, again.parsed) == (0, {"sent": {}, "waiting": {}})


@pytest.mark.usefixtures("a_warning")
def test_what_cannot_be_sent_waits_for_the_next_time(pipelines: Pipelines) -> None:
    with a_hook(500) as hook:
        said = pipelines("notify", "--json", **hook_at(hook.url))
        hook.status = 200
        again = pipelines("notify", "--json", **hook_at(hook.url))

    (name,) = said.parsed["waiting"]
    assert (said.status, said.parsed) == (1, {"sent": {}, "waiting": {name: 1}})
    assert said.err == f"! 1 notice could not be sent by {name}; the next run tries again\n"
    assert (again.status, again.parsed, again.err) == (0, {"sent": {name: 1}, "waiting": {}}, "")


def test_a_test_message_is_sent_to_everybody_and_kept_nowhere(pipelines: Pipelines, settings: Settings) -> None:
    with a_post() as post, a_hook() as hook:
        ways_out = hook_at(hook.url) | {
            "NOTIFICATIONS__EMAIL_HOST": "127.0.0.1",
            "NOTIFICATIONS__EMAIL_PORT": str(post.port),
            "NOTIFICATIONS__EMAIL_SECURITY": "none",
            "NOTIFICATIONS__EMAIL_FROM": "ledger@example.com",
            "NOTIFICATIONS__EMAIL_TO": "ann@example.com",
        }
        said = pipelines("notify", "--test", **ways_out)

    assert (said.status, said.err) == (0, "")
    assert [line.split()[0::2] for line in said.out.splitlines()] == [["e-mail", "(email_to):"], ["webhook", "(webhook_url):"]]
    assert all(line.endswith(": sent") for line in said.out.splitlines())
    assert [call.said["event"] for call in hook.heard] == ["kontoledger.test"], "no automation takes it for a trouble"
    assert [mail.text for mail in post.mails] == [TEST.text]
    assert [call.said["message"] for call in hook.heard] == [TEST.text]
    assert list(settings.data_dir.iterdir()) == []


@pytest.mark.usefixtures("a_warning")
def test_a_test_message_says_who_did_not_get_it(pipelines: Pipelines) -> None:
    with a_hook() as hook, a_hook(500) as broken:
        ways_out = hook_at(hook.url) | {"NOTIFICATIONS__SLACK_URL": broken.url}
        said = pipelines("notify", "--test", "--json", **ways_out)
        plain = pipelines("notify", "--test", **ways_out)

    assert [(name.split()[0], well) for name, well in said.parsed["arrived"].items()] == [("webhook", True), ("slack", False)]
    assert (said.status, plain.status) == (1, 1)
    assert "could not be sent" in plain.out.splitlines()[1]
    assert {call.said["message"] for call in hook.heard} == {TEST.text}, "what waits is not sent by a test"


def test_a_channel_that_breaks_in_a_test_counts_as_failed(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bool:
        raise RuntimeError("https://us3r:s3cr3t@example.com")

    monkeypatch.setattr("apprise.NotifyBase.notify", broken)
    said = pipelines("notify", "--test", **hook_at("https://us3r:s3cr3t@example.com"))

    assert said.status == 1
    assert said.out.endswith(": could not be sent\n")
    assert "s3cr3t" not in said.out + said.err


# ---- run


@pytest.mark.usefixtures("a_warning")
def test_a_run_whose_notices_fail_ends_as_it_would_have(pipelines: Pipelines, settings: Settings) -> None:
    nobody = hook_at(f"http://127.0.0.1:{nobodys_port()}/hook")
    with a_bank(World(transactions=60)) as bank, a_hook(500) as hook:
        good = pipelines("run", "--source", "kontist", "--json", **environment(bank), **hook_at(hook.url))
        refused = environment(bank) | {"SOURCES__KONTIST__PASSWORD": "wrong-password"}
        failed = pipelines("run", "--source", "kontist", "--json", **refused, **nobody)

    assert [(said.status, said.parsed["status"]) for said in (good, failed)] == [(0, "ok"), (1, "failed")]
    for said in (good, failed):
        assert "! 1 notice could not be sent by webhook" in said.err
    assert [call.said["event"] for call in hook.heard] == ["kontoledger.consent.expiring"]
    assert (settings.data_dir / "ledger.duckdb").exists()

    with a_hook() as hook:
        assert pipelines("notify", **hook_at(hook.url)).out == "1 notice sent.\n"
