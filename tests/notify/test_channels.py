"""The notification channels, over real sockets on loopback: what arrives, what counts as not arrived, and what is never sent."""

import base64
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import WrongUsage
from pipelines.notify.channels import channels
from pipelines.notify.notices import Notice
from pipelines.notify.outbox import Delivery, Outbox
from pipelines.settings import NotificationSettings
from tests.notify.receivers import NOW, Post, a_hook, a_post, holes, nobodys_port

NOTICE = Notice(
    "consent.expiring",
    "c-1 7",
    "The consent for Bank für <Köln> & Co ends in 5 days",
    "To renew it: `python -m pipelines consents renew c-1`\nThe customer signs in once.\n.\nThe end.",
    {"consent_id": "c-1", "days_left": 5, "expires_at": None},
)


def by_mail(post: Post, **more: Any) -> NotificationSettings:
    own = {"email_host": "127.0.0.1", "email_port": post.port, "email_security": "none", "email_to": "ann@example.com"}
    return NotificationSettings(**own | {"email_from": "Ledger <ledger@example.com>"} | more)


def sent(settings: NotificationSettings, notice: Notice = NOTICE) -> list[bool]:
    """Whether it arrived, by channel."""
    return [send(notice) for send in channels(settings).values()]


# ---- e-mail


def test_a_mail_says_what_the_notice_says() -> None:
    with a_post() as post:
        assert sent(by_mail(post)) == [True]

    (mail,) = post.mails
    assert (mail.sender, mail.to) == ("ledger@example.com", ("ann@example.com",))
    assert (mail.message["Subject"], mail.message["From"]) == (NOTICE.subject, "Ledger <ledger@example.com>")
    assert mail.message.get_content_type() == "text/plain"
    assert mail.text == NOTICE.text
    assert not [command for command in post.commands if command.startswith("AUTH")]


def test_each_address_is_a_recipient_of_its_own(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(holes("a"), NOW)
    with a_post(refuses={"ben@example.com"}) as post:
        ways_out = channels(by_mail(post, email_to="ann@example.com, ben@example.com,"))
        ann, ben = ways_out
        assert outbox.deliver(ways_out, NOW) == Delivery({ann: 1}, {ben: 1})
        assert outbox.deliver(ways_out, NOW) == Delivery({}, {ben: 1})
        post.refuses.clear()
        assert outbox.deliver(ways_out, NOW) == Delivery({ben: 1}, {})

    assert [mail.to for mail in post.mails] == [("ann@example.com",), ("ben@example.com",)]


def test_many_mails_are_sent_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"slept for {seconds} seconds"))
    with a_post() as post:
        (send,) = channels(by_mail(post)).values()
        assert [send(NOTICE) for _ in range(3)] == [True, True, True]

    assert len(post.mails) == 3


def test_a_mail_server_that_wants_a_password_gets_it() -> None:
    with a_post() as post:
        assert sent(by_mail(post, email_user="ledger", email_password="s3cr3t")) == [True]

    (said,) = [command for command in post.commands if command.startswith("AUTH PLAIN ")]
    assert base64.b64decode(said.split()[2]) == b"\0ledger\0s3cr3t"


def test_no_password_and_no_mail_goes_out_in_the_clear_where_it_should_not() -> None:
    """This server does not offer STARTTLS, as one does not that somebody has got in front of the real one."""
    with a_post() as post:
        for security in ("starttls", "tls"):
            assert sent(by_mail(post, email_security=security, email_user="ledger", email_password="s3cr3t")) == [False]

    assert post.mails == []
    assert not [command for command in post.commands if command.startswith(("AUTH", "MAIL"))]


def test_a_mail_server_that_is_busy_or_away_is_tried_again_later() -> None:
    with a_post(greeting="421 not now") as post:
        assert sent(by_mail(post)) == [False]

    assert sent(by_mail(Post(nobodys_port()))) == [False]


# ---- webhooks


def test_a_webhook_gets_one_json_object_a_notice() -> None:
    with a_hook() as hook:
        assert sent(NotificationSettings(webhook_url=hook.url)) == [True]

    (call,) = hook.heard
    assert call.headers["Content-Type"] == "application/json"
    assert {name: call.said[name] for name in ("event", "key", "payload", "title", "message")} == {
        "event": "kontoledger.consent.expiring",
        "key": "c-1 7",
        "payload": NOTICE.payload,
        "title": NOTICE.subject,
        "message": NOTICE.text,
    }


def test_a_notice_without_a_payload_has_an_empty_one() -> None:
    with a_hook() as hook:
        assert sent(NotificationSettings(webhook_url=hook.url), replace(NOTICE, payload={})) == [True]

    assert hook.heard[0].said["payload"] == {}


def test_a_webhook_is_called_at_its_whole_address() -> None:
    with a_hook() as hook:
        address = f"http://us%40er:p%2Fss@127.0.0.1:{hook.port}/a%20b/c/?sig=x%2By&empty=&two=1&two=2"
        assert sent(NotificationSettings(webhook_url=address, slack_url=address)) == [True, True]

    for call in hook.heard:
        assert call.path == "/a%20b/c/?sig=x%2By&empty=&two=1&two=2"
        assert call.headers["Authorization"] == f"Basic {base64.b64encode(b'us@er:p/ss').decode()}"


def test_a_slack_compatible_webhook_gets_a_text_and_nothing_else() -> None:
    with a_hook() as hook:
        assert sent(NotificationSettings(slack_url=hook.url)) == [True]

    said = f"*{NOTICE.subject}*\n{NOTICE.text}".replace("<Köln> & Co", "&lt; Köln&gt; &amp; Co")  # its three signs, escaped
    assert [call.said for call in hook.heard] == [{"text": said}]


@pytest.mark.parametrize("setting", ["webhook_url", "slack_url"])
@pytest.mark.parametrize(("status", "arrived"), [(200, True), (204, True), (302, False), (404, False), (500, False)])
def test_a_webhook_has_it_when_it_says_so(setting: str, status: int, arrived: bool) -> None:
    with a_hook(status) as hook:
        assert sent(NotificationSettings(**{setting: hook.url})) == [arrived]

    assert [call.path for call in hook.heard] == ["/hook"], "a redirect is not followed"


@pytest.mark.parametrize("setting", ["webhook_url", "slack_url"])
def test_a_webhook_that_is_away_has_not(setting: str) -> None:
    assert sent(NotificationSettings(**{setting: f"http://127.0.0.1:{nobodys_port()}/hook"})) == [False]


def test_each_address_that_apprise_knows_is_a_channel_of_its_own() -> None:
    with a_hook() as hook, a_hook(500) as broken:
        urls = f"json://127.0.0.1:{hook.port}/a  json://127.0.0.1:{broken.port}/b"
        assert sent(NotificationSettings(urls=urls)) == [True, False]

    assert (hook.heard[0].said["title"], hook.heard[0].said["message"]) == (NOTICE.subject, NOTICE.text)


def test_slack_itself_is_known_by_its_address() -> None:
    assert [name.split()[0] for name in channels(NotificationSettings(slack_url=SLACK))] == ["slack"]


# ---- addresses


def test_nobody_is_notified_unless_it_is_set() -> None:
    assert channels(NotificationSettings()) == {}


def test_a_recipient_has_the_same_name_whoever_else_is_notified() -> None:
    alone = list(channels(NotificationSettings(webhook_url="https://example.com/a")))
    among = channels(NotificationSettings(webhook_url="https://example.com/a", urls="json://example.com/b"))

    assert alone == list(among)[:1]
    assert alone != list(channels(NotificationSettings(webhook_url="https://example.com/c")))


SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
MAIL = {"email_host": "127.0.0.1", "email_from": "ledger@example.com", "email_to": "ann@example.com"}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"email_to": "ann@example.com"}, "email_host"),
        (MAIL | {"email_host": None}, "email_host"),
        (MAIL | {"email_from": None}, "email_from"),
        (MAIL | {"email_from": "s3cr3t"}, "email_from"),
        (MAIL | {"email_from": "s3cr3t", "email_user": "ledger"}, "email_from"),
        (MAIL | {"email_to": "s3cr3t"}, "email_to"),
        (MAIL | {"email_to": "ann@example.com, s3cr3t"}, "email_to"),
        ({"webhook_url": "s3cr3t"}, "webhook_url"),
        ({"webhook_url": "ftp://example.com/s3cr3t"}, "webhook_url"),
        ({"webhook_url": "https:///s3cr3t"}, "webhook_url"),
        ({"webhook_url": "https://example.com:99999/s3cr3t"}, "webhook_url"),
        ({"webhook_url": "https://example.com:s3cr3t/"}, "webhook_url"),
        ({"webhook_url": "https://[s3cr3t/"}, "webhook_url"),
        ({"slack_url": "s3cr3t"}, "slack_url"),
        ({"slack_url": "https://[s3cr3t/"}, "slack_url"),
        ({"slack_url": "https://hooks.slack.com/services/s3cr3t"}, "slack_url"),
        ({"email_host": "s3cr3t", "email_from": "a@example.com", "email_to": "b@example.com", "email_port": 65536}, "email_port"),
        ({"urls": "s3cr3t"}, "urls"),
        ({"urls": "nobody-knows-this://s3cr3t@example.com"}, "urls"),
        ({"urls": "json://example.com slack://s3cr3t"}, "urls"),
    ],
)
def test_a_wrong_address_is_named_and_not_repeated(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(WrongUsage, match=rf"notifications\.{named}") as refusal:
        channels(NotificationSettings(**wrong))

    assert "s3cr3t" not in str(refusal.value)


SECRETS = ("s3cr3t", "us3r", "T0KEN")


def with_secrets(post: Post, port: int) -> NotificationSettings:
    """All ways out, each with a secret in its address."""
    address = f"127.0.0.1:{port}/T0KEN?key=s3cr3t"
    return by_mail(
        post,
        email_user="us3r",
        email_password="s3cr3t",
        webhook_url=f"http://us3r:s3cr3t@{address}",
        slack_url=f"http://{address}",
        urls=f"json://us3r:s3cr3t@{address}",
    )


def test_nothing_that_is_logged_or_shown_holds_a_secret(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(holes("a"), NOW)
    result: list[str] = []
    caplog.set_level(1)
    assert logging.getLogger().isEnabledFor(1)
    with a_post() as post, a_hook(500) as hook:
        for settings in (with_secrets(Post(nobodys_port()), nobodys_port()), with_secrets(post, hook.port)):
            result += [repr(settings), *outbox.deliver(channels(settings), NOW).sentences()]
        hook.status = 200
        last = outbox.deliver(channels(with_secrets(post, hook.port)), NOW)
        assert (len(post.mails), len(hook.heard), last.waiting) == (1, 6, {})

    result += [*last.sent, caplog.text, *capfd.readouterr()]
    said = "\n".join(result).replace("email_user='us3r'", "")
    assert [secret for secret in SECRETS if secret in said] == []


def test_the_outbox_remembers_no_address(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(holes("a"), NOW)
    with a_post() as post, a_hook() as hook:
        outbox.deliver(channels(with_secrets(post, hook.port)), NOW)

    kept = (tmp_path / "outbox.sqlite").read_bytes()
    assert [secret for secret in (*SECRETS, "ann@example.com") if secret.encode() in kept] == []
