"""What a run's report and an outbox that is broken make of notices: each is sent once, and a fault costs nothing else."""

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.consents.clients import vault_of
from pipelines.notify.dispatch import dispatch_notices
from pipelines.notify.outbox import Delivery, Outbox
from pipelines.run.report import Report
from pipelines.settings import KontistSettings, NotificationSettings, Settings
from tests.notify.receivers import DAY, NOW, Somebody, a_hook, holes
from tests.scheduled.desk import consent, days_before_its_end
from transforms.checks import CheckResult


def test_nobody_else_can_read_the_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        outbox = Outbox(tmp_path / "data")
        outbox.put(holes("a"), NOW)
        outbox.deliver({"ann": Somebody()}, NOW)
    finally:
        os.umask(before)

    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path / "data").iterdir()}
    assert modes["outbox.sqlite"] == "0o600"
    assert set(modes.values()) == {"0o600"}


def an_empty_file(path: Path) -> None:
    path.write_bytes(b"")


def no_database(path: Path) -> None:
    path.write_bytes(b"no database at all, " * 1000)


def a_folder(path: Path) -> None:
    path.mkdir()


def half_of_it(path: Path) -> None:
    Outbox(path.parent).put(holes(*map(str, range(200))), NOW)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def tables_of_somebody_else(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table notices (kind text, key text, ended_at text)")
    connection.close()


def a_payload_that_is_no_json(path: Path) -> None:
    Outbox(path.parent).put(holes("a"), NOW)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update notices set payload = '{'")
    connection.close()


BROKEN = [no_database, a_folder, half_of_it, tables_of_somebody_else, a_payload_that_is_no_json]


@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: damage.__name__)
def test_a_broken_outbox_costs_nothing_but_the_notices(settings: Settings, damage: Callable[[Path], None]) -> None:
    damage(settings.data_dir / "outbox.sqlite")
    result = dispatch_notices(settings, lambda: NOW, report=A_REPORT, also={"ann": Somebody()})

    assert result.trouble is not None
    assert [sentence.split(" (")[0] for sentence in result.sentences()] in (
        ["notices: the outbox cannot be used"],
        ["notices: a fault in this program"],
    )


def test_an_empty_outbox_file_is_a_new_outbox(settings: Settings) -> None:
    an_empty_file(settings.data_dir / "outbox.sqlite")
    ann = Somebody()

    assert dispatch_notices(settings, lambda: NOW, report=A_REPORT, also={"ann": ann}).trouble is None
    assert ann.keys == ["a 2026-03-01", "ledger.balances: proof"]


def test_a_data_directory_that_is_a_file_costs_nothing_either(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    result = dispatch_notices(replace(settings, data_dir=tmp_path / "file" / "data"), lambda: NOW, also={"ann": Somebody()})

    assert result.trouble == "the outbox cannot be used (NotADirectoryError)"


# ---- looking for notices and sending them, as every run does last

FAILED = CheckResult("ledger.balances: proof", "Our balance and the bank's differ.", 3)
A_REPORT = Report(
    "r-1", refused="refused", checks=[FAILED], gaps=[{"account_id": "a", "from_on": "2026-03-01", "to_on": "2026-03-09"}]
)


def test_every_notice_is_sent_once(settings: Settings) -> None:
    ann = Somebody()
    consent(settings, days_before_its_end(NOW, 5))
    result = dispatch_notices(settings, lambda: NOW, report=A_REPORT, also={"ann": ann})

    assert sorted(notice.kind for notice in result.fresh) == ["check.failed", "consent.expiring", "hole"]
    assert sorted(notice.kind for notice in ann.got) == ["check.failed", "consent.expiring", "hole"]
    assert (result.delivery, result.sentences()) == (Delivery({"ann": 3}), [])
    assert dispatch_notices(settings, lambda: NOW, report=A_REPORT, also={"ann": ann}).fresh == []
    assert len(ann.got) == 3


def test_a_run_that_built_no_ledger_says_nothing_of_its_checks(settings: Settings) -> None:
    ann = Somebody()
    for report in (A_REPORT, Report("r-2"), A_REPORT):
        dispatch_notices(settings, lambda: NOW, report=report, also={"ann": ann})
    assert [notice.kind for notice in ann.got] == ["hole", "check.failed"]

    for report in (Report("r-3", refused="refused", checks=[replace(FAILED, failed_rows=0)]), A_REPORT):
        dispatch_notices(settings, lambda: NOW, report=report, also={"ann": ann})
    assert [notice.kind for notice in ann.got] == ["hole", "check.failed", "check.failed"]


def test_without_any_recipient_nothing_is_kept(settings: Settings) -> None:
    assert dispatch_notices(settings, lambda: NOW, report=A_REPORT).fresh == []
    assert list(settings.data_dir.iterdir()) == []


def test_nobody_is_notified_of_the_sandbox(settings: Settings) -> None:
    ann = Somebody()
    dispatch_notices(replace(settings, sandbox=True), lambda: NOW, report=A_REPORT, also={"ann": ann})

    assert ann.got == []
    assert list(settings.data_dir.iterdir()) == []


def test_an_address_that_cannot_be_used_is_named(settings: Settings) -> None:
    wrong = replace(settings, notifications=NotificationSettings(webhook_url="http://user:s3cr3t@[/"))
    result = dispatch_notices(wrong, lambda: NOW, report=A_REPORT)

    assert result.sentences() == ["notices: The setting notifications.webhook_url is no http or https address. Correct it."]


def test_a_wrong_address_silences_nobody_else_and_gets_what_it_missed_once_it_is_right(settings: Settings) -> None:
    ann = Somebody()
    with a_hook() as hook:
        wrong = NotificationSettings(webhook_url=hook.url, urls="nobody-knows-this://a nor-this://s3cr3t@b")
        result = dispatch_notices(replace(settings, notifications=wrong), lambda: NOW, report=A_REPORT, also={"ann": ann})

        assert "notifications.urls (address 2) " in "".join(result.sentences())
        assert len(ann.got) == len(hook.heard) == len(result.fresh) > 0
        alone = NotificationSettings(webhook_url="http://[/")
        other = replace(settings, data_dir=settings.data_dir / "other", notifications=alone)
        kept = dispatch_notices(other, lambda: NOW, report=A_REPORT).fresh
        right = replace(other, notifications=NotificationSettings(webhook_url=hook.url))
        assert sum(dispatch_notices(right, lambda: NOW).delivery.sent.values()) == len(kept) > 0


@pytest.mark.parametrize("broken", ["vault.sqlite", "ledger.duckdb"])
def test_what_the_report_says_is_reported_whatever_else_cannot_be_read(settings: Settings, broken: str) -> None:
    (settings.data_dir / broken).write_text("no database at all")
    ann = Somebody()
    result = dispatch_notices(settings, lambda: NOW, report=A_REPORT, also={"ann": ann})

    assert sorted(notice.kind for notice in ann.got) == ["check.failed", "hole"]
    assert broken in str(result.trouble)


@pytest.mark.parametrize(
    ("own", "kinds"),
    [
        ({}, ["consent.expired"]),
        ({"refresh_token": "the login was made of it, so it is worth nothing"}, ["consent.expired"]),
        ({"email": "a@example.com", "password": "s3cr3t"}, []),
    ],
    ids=["nothing configured", "a refresh token", "e-mail and password"],
)
def test_an_expired_login_is_reported_unless_a_password_does_without(
    settings: Settings, own: dict[str, Any], kinds: list[str]
) -> None:
    with vault_of(settings) as vault:
        about = {"source": "kontist", "institution": "Kontist", "access_mode": "LOGIN"}
        login = vault.add(**about, now=NOW - 30 * DAY, token="a refresh token", expires_at=NOW)
        vault.age(NOW)
        assert vault.consent(login.consent_id).status == "expired"
    ann = Somebody()
    dispatch_notices(replace(settings, kontist=KontistSettings(**own)), lambda: NOW, also={"ann": ann})

    assert [notice.kind for notice in ann.got] == kinds


# ---- whatever rounds fail
