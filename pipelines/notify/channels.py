"""Makes the notification channels: e-mail by SMTP, a JSON webhook, Slack-compatible webhooks, and all others of apprise.

The outbox knows a channel by a name with a hash, because an address may hold a password or a key.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pipelines.errors import WrongUsage
from pipelines.notify.notices import Notice
from pipelines.notify.outbox import Send
from pipelines.text.sinks import chat, line, lines, slack

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

    from pipelines.settings import NotificationSettings

_PLAIN = frozenset({"form", "forms", "json", "jsons", "mailto", "mailtos", "xml", "xmls"})
"""Schemas of apprise that carry text as it is. All others are taken for chats, which read mentions and links into it."""
_INFO = ("consent.revoked", "test")
"""Kinds that are no trouble."""


def channels(settings: "NotificationSettings") -> dict[str, Send]:
    """Returns a sender for each configured channel. Raises `WrongUsage` for an address that cannot be used."""
    found, wrong = usable(settings)
    if wrong:
        raise wrong[0]
    return found


def usable(settings: "NotificationSettings") -> tuple[dict[str, Send], list[WrongUsage]]:
    """Returns the channels that can be used, and what is wrong with the others: one wrong address must not silence the rest."""
    found: dict[str, Send] = {}
    wrong: list[WrongUsage] = []
    for name, setting, build in _configured(settings):
        try:
            found[name] = build(setting)
        except WrongUsage as refused:
            wrong.append(refused)
    return found, wrong


def places(settings: "NotificationSettings") -> dict[str, str]:
    """Returns the setting that each channel comes from, with the position in it."""
    return {name: setting for name, setting, _ in _configured(settings)}


def _configured(settings: "NotificationSettings") -> Iterator[tuple[str, str, Callable[[str], Send]]]:
    """Yields each channel: name, setting with the position in it, and the function that builds its sender."""
    mailboxes = [to.strip() for to in (settings.email_to or "").split(",") if to.strip()]
    for setting, to in _numbered(
        "email_to", mailboxes
    ):  # each for itself: one that is refused must not make the others get it again
        yield _named("e-mail", to), setting, partial(_email, settings, to)
    if settings.webhook_url:
        yield _named("webhook", settings.webhook_url), "webhook_url", partial(_webhook, settings.webhook_url)
    if settings.slack_url:
        yield _named("slack", settings.slack_url), "slack_url", partial(_slack, settings.slack_url)
    for setting, url in _numbered("urls", (settings.urls or "").split()):
        yield _named(url.partition(":")[0], url), setting, partial(_any, url)


def _numbered(setting: str, addresses: Sequence[str]) -> list[tuple[str, str]]:
    several = len(addresses) > 1
    return [(f"{setting} (address {n})" if several else setting, one) for n, one in enumerate(addresses, 1)]


def _any(url: str, setting: str) -> Send:
    return _by(_plugin(setting, url), lines if url.partition(":")[0].lower() in _PLAIN else chat)


def _named(kind: str, address: str) -> str:
    return f"{kind} {hashlib.sha256(address.encode()).hexdigest()[:8]}"


def _email(settings: "NotificationSettings", to: str, where: str) -> Send:
    if not (settings.email_host and settings.email_from):
        raise WrongUsage("E-mail needs notifications.email_host and notifications.email_from", "Set both, or remove email_to")
    if not 0 < settings.email_port < 65536:
        raise WrongUsage("The setting notifications.email_port is no port", "Give a number from 1 to 65535, e.g. 587")
    security = {"starttls": "starttls", "tls": "ssl", "none": "insecure"}[settings.email_security]
    address: dict[str, Any] = {
        "schema": "mailto" if security == "insecure" else "mailtos",
        "host": settings.email_host,
        "smtp_host": settings.email_host,
        "port": settings.email_port,
        "secure_mode": security,
        "from_addr": settings.email_from,
        "targets": [to],
        "format": "text",
    }
    for setting, mailbox in (("email_from", settings.email_from), (where, to)):
        _plugin(setting, address | {"from_addr": mailbox})  # apprise lets a wrong receiver pass, and with a user a sender
    if settings.email_user:
        address |= {"user": settings.email_user, "password": settings.email_password or ""}
    plugin = _plugin("email_host", address)
    plugin.request_rate_per_sec = 0  # by itself it sleeps 5.5 seconds between two mails, and a run waits for it
    return _by(plugin)


def _webhook(url: str, setting: str) -> Send:
    """Returns a sender of one JSON object for each notice: title, message, type, event, payload."""
    address = _json_address(setting, url)

    def send(notice: Notice) -> bool:
        extra = {"event": notice.event, "key": notice.key, "payload": notice.payload, "attachments": ""}
        return _by(_plugin(setting, address | {"payload": extra}))(notice)

    _plugin(setting, address)
    return send


def _slack(url: str, setting: str) -> Send:
    """Returns a sender for Slack, Mattermost, Rocket.Chat and others: each takes the same `{"text": …}` at its own address.

    Not apprise's own plugin for Slack, which makes mentions and links of what looks like them.
    """
    address = _json_address(setting, url)
    if address["host"] == "hooks.slack.com":
        _plugin(setting, url)  # it knows what Slack's own addresses look like
    only_text = {"message": "text", "title": "", "version": "", "type": "", "attachments": ""}
    plugin = _plugin(setting, address | {"payload": only_text})

    def send(notice: Notice) -> bool:
        return bool(plugin.notify(body=f"*{slack(line(notice.subject))}*\n{slack(notice.text)}", body_format="text"))

    return send


def _json_address(setting: str, url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text repeats the address
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongUsage(f"The setting notifications.{setting} is no http or https address", "Correct it")
    address: dict[str, Any] = {
        "schema": "jsons" if parts.scheme == "https" else "json",
        "host": f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
        "port": port,
        "fullpath": parts.path or "/",
        "params": _query(parts.query),
    }
    if parts.username:
        address |= {"user": unquote(parts.username), "password": unquote(parts.password or "")}
    return address


def _query(text: str) -> dict[str, list[str]]:
    """Returns every parameter, including one without a value and one that is named twice."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


def _plugin(setting: str, address: str | dict[str, Any]) -> "NotifyBase":
    from apprise import Apprise

    # Their own log lines hold addresses; we report what failed.
    for name in ("apprise", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    plugin = Apprise.instantiate(address, asset=_asset(), suppress_exceptions=True)
    if plugin is None:
        raise WrongUsage(f"The setting notifications.{setting} holds an address that apprise does not know", "Correct it")
    return plugin


def _asset() -> "AppriseAsset":
    from apprise import AppriseAsset, PersistentStoreMode

    return AppriseAsset(
        app_id="kontoledger",
        app_desc="kontoledger",
        app_url="",
        async_mode=False,
        http_redirects=False,
        storage_mode=PersistentStoreMode.MEMORY,
    )


def _by(plugin: "NotifyBase", harmless: Callable[[str], str] = lines) -> Send:
    """Sends by apprise; `harmless` escapes the text for its reader. No mail server takes a subject of two lines."""
    from apprise import NotifyType

    def send(notice: Notice) -> bool:
        kind = NotifyType.INFO if notice.kind in _INFO else NotifyType.WARNING
        title = harmless(line(notice.subject))
        return bool(plugin.notify(body=harmless(notice.text), title=title, notify_type=kind, body_format="text"))

    return send
