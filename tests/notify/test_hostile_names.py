"""Notices about a bank that is called what no bank should be called, on their way to people."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.notify.channels import channels
from pipelines.notify.notices import Notice, about_differences, about_held, about_stale
from pipelines.settings import NotificationSettings
from pipelines.text.sinks import line
from tests.house.hostile import HOSTILE, steering
from tests.notify.receivers import NOW, a_hook, a_post

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
CALLS = ("<!", "<@", "@here", "@channel", "@all", "://evil", "](", "www.")


def about(name: str) -> list[Notice]:
    """Returns the notice about an account of the bank."""
    account: dict[str, Any] = {"account_id": "kontomatik:1", "institution": name, "display_name": name}
    account |= {"last_imported_at": "2026-01-01T00:00:00Z", "held_since": "2026-01-01", "gone_at": None}
    account |= {"differs_from": "2026-01-01", "differs_until": "2026-01-02"}
    return [*about_held([account]), *about_stale([account], {"kontomatik:1"}, 30, NOW), *about_differences([account])]


def as_it_was_kept(name: str) -> Notice:
    """One that an earlier version has put into the outbox, with the name as the bank sent it."""
    return replace(about("Bank")[0], subject=f"Rows of {name} are held", text=f"Rows of {name} are held.\nLook at the bank.")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_notice_has_one_line_as_its_subject_and_no_line_that_is_not_ours(name: str) -> None:
    for notice, friendly in zip(about(name), about("Bank"), strict=True):
        assert not steering(notice.subject + notice.text)
        assert "\n" not in notice.subject
        assert notice.text.count("\n") == friendly.text.count("\n")


def test_no_name_blocks_a_mailbox() -> None:
    notices = [as_it_was_kept(HOSTILE[one]) for one in ("mail header", "line breaks beyond ASCII", "half a sign")]
    with a_post() as post:
        own = {"email_host": "127.0.0.1", "email_port": post.port, "email_security": "none", "email_to": "ann@example.com"}
        (send,) = channels(NotificationSettings(**own, email_from="Ledger <ledger@example.com>")).values()
        assert [send(notice) for notice in notices] == [True] * len(notices)

    assert [mail.message["Subject"].split() for mail in post.mails] == [line(notice.subject).split() for notice in notices]
    assert {mail.to for mail in post.mails} == {("ann@example.com",)}
    assert not [mail for mail in post.mails if mail.message["Bcc"] or steering(mail.text)]


def test_no_name_calls_a_channel_or_makes_a_link() -> None:
    with a_hook() as hook:
        (send,) = channels(NotificationSettings(slack_url=hook.url)).values()
        assert all(send(as_it_was_kept(name)) for name in HOSTILE.values())

    for call in hook.heard:
        assert not [begin for begin in CALLS if begin in call.said["text"]]
        assert not set("<>") & set(call.said["text"])


@pytest.mark.parametrize("setting", ["slack_url", "urls"])
def test_slack_itself_gets_neither(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[str] = []

    class Taken:
        status_code, content, text, headers = 200, b"ok", "ok", {}

    def post(*_: Any, data: Any, **__: Any) -> Taken:
        posted.append(data if isinstance(data, str) else data.decode())
        return Taken()

    monkeypatch.setattr("requests.post", post)
    monkeypatch.setattr("requests.request", lambda *_, **more: post(**more))
    url = SLACK.replace("slack://", "https://hooks.slack.com/services/") if setting == "slack_url" else SLACK
    (send,) = channels(NotificationSettings(**{setting: url})).values()
    monkeypatch.setattr("time.sleep", lambda _: None)
    for name in HOSTILE.values():
        assert send(as_it_was_kept(name))

    assert len(posted) == len(HOSTILE)
    assert not [(begin, text) for text in posted for begin in CALLS if begin in text.encode().decode("unicode_escape")]
