"""What the outbox promises: everybody gets every notice, once, whatever fails on the way."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipelines.notify.outbox
from pipelines.consents.clients import vault_of
from pipelines.notify.dispatch import dispatch_notices
from pipelines.notify.notices import KINDS, LASTING, NEWS, Kind, Notice
from pipelines.notify.outbox import KEPT, PATIENCE, Delivery, Outbox
from pipelines.run.report import Report
from pipelines.settings import KontistSettings, NotificationSettings, Settings
from tests.notify.receivers import Somebody, a_hook
from tests.patience import patient
from tests.scheduled.desk import consent, days_before_its_end
from transforms.checks import CheckResult

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def a_notice(key: str, kind: Kind = "hole") -> Notice:
    return Notice(kind, key, f"About {key}", f"This happened to {key}.", {"account_id": key, "days": 3, "until": None})


def holes(*keys: str) -> list[Notice]:
    return [a_notice(key) for key in keys]


# ---- sending


def test_what_is_over_for_long_is_removed_and_news_is_never_met_twice(tmp_path: Path) -> None:
    ann, outbox = Somebody(), Outbox(tmp_path)
    stale = [a_notice("a", "account.stale"), a_notice("b", "account.stale")]
    outbox.put(holes("h"), NOW)
    outbox.hold("account.stale", stale, NOW)
    outbox.deliver({"ann": ann}, NOW)
    outbox.hold("account.stale", stale[:1], NOW + DAY)
    outbox.deliver({"ann": ann}, NOW + KEPT)
    assert kept(tmp_path) == ["a", "b", "h"]

    outbox.deliver({"ann": ann}, NOW + DAY * 2 + KEPT)

    assert kept(tmp_path) == ["a", "h"]
    assert outbox.put(holes("h"), NOW + DAY * 2 + KEPT) == []
    assert outbox.hold("account.stale", stale, NOW + DAY * 2 + KEPT) == stale[1:]


def kept(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "outbox.sqlite")) as connection, connection:
        return sorted(key for (key,) in connection.execute("select key from notices"))


def test_a_notice_is_kept_until_everybody_has_it(tmp_path: Path) -> None:
    ann, ben = Somebody(), Somebody(away=True)
    outbox = Outbox(tmp_path)
    assert outbox.put(holes("a", "b"), NOW) == holes("a", "b")

    assert outbox.deliver({"ann": ann, "ben": ben}, NOW) == Delivery({"ann": 2}, {"ben": 2})
    ben.away = False
    assert Outbox(tmp_path).deliver({"ann": ann, "ben": ben}, NOW + DAY) == Delivery({"ben": 2}, {})
    assert Outbox(tmp_path).deliver({"ann": ann, "ben": ben}, NOW + DAY) == Delivery()
    assert (ann.got, ben.got) == (holes("a", "b"), holes("a", "b"))


def test_a_notice_that_is_met_again_is_the_same(tmp_path: Path) -> None:
    ann = Somebody()
    outbox = Outbox(tmp_path)
    outbox.put(holes("a"), NOW)
    outbox.deliver({"ann": ann}, NOW)

    assert outbox.put([replace(a_notice("a"), text="in other words"), *holes("b")], NOW + 30 * DAY) == holes("b")
    outbox.deliver({"ann": ann}, NOW + 30 * DAY)
    assert ann.keys == ["a", "b"]


def test_what_arrived_before_a_failure_is_not_sent_again(tmp_path: Path) -> None:
    ann = Somebody(patience=2)
    outbox = Outbox(tmp_path)
    outbox.put(holes("a", "b", "c", "d"), NOW)

    assert outbox.deliver({"ann": ann}, NOW) == Delivery({"ann": 2}, {"ann": 2})
    ann.patience = None
    assert outbox.deliver({"ann": ann}, NOW) == Delivery({"ann": 2}, {})
    assert ann.keys == ["a", "b", "c", "d"]


def test_a_way_out_that_breaks_is_one_that_fails(tmp_path: Path) -> None:
    def broken(_notice: Notice) -> bool:
        raise RuntimeError("https://user:password@example.com")

    ann = Somebody()
    outbox = Outbox(tmp_path)
    outbox.put(holes("a"), NOW)
    delivery = outbox.deliver({"broken": broken, "ann": ann}, NOW)

    assert delivery == Delivery({"ann": 1}, {"broken": 1})
    assert delivery.sentences() == ["1 notice could not be sent by broken; the next run tries again"]
    assert ann.keys == ["a"]


def test_a_notice_that_a_recipient_refuses_keeps_no_later_one_from_it(tmp_path: Path) -> None:
    ann, ben = Somebody(refuses={"a", "b", "d"}), Somebody()
    outbox = Outbox(tmp_path)
    outbox.put(holes(*"abcde"), NOW)

    for sent in ({"ann": 2, "ben": 5}, {}):
        assert outbox.deliver({"ann": ann, "ben": ben}, NOW) == Delivery(sent, {"ann": 3})
    assert (ann.keys, ben.keys) == (["c", "e"], [*"abcde"])


@pytest.mark.parametrize(("seconds", "tried"), [(PATIENCE, "a"), (PATIENCE / 2, "ab"), (0, "abcd")])
def test_a_recipient_that_lets_us_wait_is_left_before_it_holds_up_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, tried: str
) -> None:
    clock, asked = [0.0], []

    def slow(notice: Notice) -> bool:
        asked.append(notice.key)
        clock[0] += seconds
        return False

    monkeypatch.setattr(pipelines.notify.outbox, "monotonic", lambda: clock[0])
    outbox = Outbox(tmp_path)
    outbox.put(holes(*"abcd"), NOW)

    assert outbox.deliver({"slow": slow}, NOW) == Delivery({}, {"slow": 4})
    assert asked == [*tried]


# ---- troubles that last


def test_a_lasting_trouble_is_reported_once_while_it_lasts_and_again_when_it_came_back(tmp_path: Path) -> None:
    ann = Somebody()
    outbox = Outbox(tmp_path)
    result = []
    for hour, failing in enumerate(["a", "ab", "b", "ab", "", "b", "b"]):
        outbox.hold("check.failed", [a_notice(key, "check.failed") for key in failing], NOW + timedelta(hours=hour))
        outbox.deliver({"ann": ann}, NOW + timedelta(hours=hour))
        result.append("".join(ann.keys))
        ann.got.clear()

    assert result == ["a", "b", "", "a", "", "b", ""]


def test_troubles_of_different_kinds_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    for kind in LASTING:
        assert outbox.hold(kind, [a_notice("a", kind)], NOW) == [a_notice("a", kind)]
    outbox.hold("account.stale", [], NOW)

    assert outbox.hold("check.failed", [a_notice("a", "check.failed")], NOW) == []
    assert outbox.hold("account.stale", [a_notice("a", "account.stale")], NOW) == [a_notice("a", "account.stale")]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LASTING])
def test_what_happens_once_for_all_does_not_last(tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(ValueError, match="nothing that ends"):
        Outbox(tmp_path).hold(kind, [], NOW)


# ---- old news


def test_who_comes_new_gets_no_old_news(tmp_path: Path) -> None:
    ann, ben = Somebody(), Somebody()
    outbox = Outbox(tmp_path)
    outbox.put(holes("old"), NOW - SECOND)
    outbox.put(holes("a week old"), NOW)
    outbox.deliver({"ann": ann}, NOW)
    outbox.put(holes("new"), NOW + NEWS)
    outbox.deliver({"ann": ann, "ben": ben}, NOW + NEWS)

    assert ann.keys == ["old", "a week old", "new"]
    assert ben.keys == ["a week old", "new"]


def test_what_could_not_be_sent_for_a_week_is_given_up(tmp_path: Path) -> None:
    ann = Somebody(away=True)
    outbox = Outbox(tmp_path)
    outbox.put(holes("a"), NOW)
    assert outbox.deliver({"ann": ann}, NOW + NEWS).waiting == {"ann": 1}

    ann.away = False
    assert outbox.deliver({"ann": ann}, NOW + NEWS + SECOND) == Delivery()


# ---- several at once


def test_threads_that_deliver_at_once_send_nothing_twice(tmp_path: Path) -> None:
    ann, ben = Somebody(), Somebody()
    keys = [f"{number}" for number in range(10)]
    Outbox(tmp_path).put(holes(*keys), NOW)
    together = threading.Barrier(4)
    found: list[Delivery] = []

    def deliver() -> None:
        outbox = Outbox(tmp_path)
        together.wait(patient(10))
        found.append(outbox.deliver({"ann": ann, "ben": ben}, NOW))

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(30))

    assert (ann.keys, ben.keys) == (keys, keys)
    assert sum(sum(delivery.sent.values()) for delivery in found) == 20


def test_threads_that_meet_the_same_at_once_keep_it_once(tmp_path: Path) -> None:
    together = threading.Barrier(4)
    found: list[Notice] = []

    def meet() -> None:
        together.wait(patient(10))
        found.extend(Outbox(tmp_path).put(holes("a", "b", "c"), NOW))

    threads = [threading.Thread(target=meet) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(30))

    assert sorted(notice.key for notice in found) == ["a", "b", "c"]


ANOTHER_PROCESS = """
import sys
from datetime import datetime
from pathlib import Path
from pipelines.notify.outbox import Outbox

def send(notice):
    print(notice.key, flush=True)
    return sys.stdin.readline() == "taken\\n"

Outbox(Path(sys.argv[1])).deliver({"ann": send}, datetime.fromisoformat(sys.argv[2]))
"""


def test_a_process_waits_while_another_one_delivers(tmp_path: Path) -> None:
    ann = Somebody()
    Outbox(tmp_path).put(holes("a", "b"), NOW)
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path), NOW.isoformat()],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "a\n"  # it is sending, and has not heard that it arrived
        ours = threading.Thread(target=lambda: Outbox(tmp_path).deliver({"ann": ann}, NOW))
        ours.start()
        ours.join(0.2)  # it would be done by now if it did not wait
        other.stdin.write("taken\n")
        other.stdin.flush()
        assert other.stdout.readline() == "b\n"
        assert ann.got == []
        other.stdin.write("not taken\n")
        other.stdin.flush()
        assert other.wait(patient(30)) == 0
        ours.join(patient(30))

    assert ann.keys == ["b"]


# ---- the file


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


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is on the disk when the power fails is not what is tested."""
    connect = sqlite3.connect

    def hasty(*where: Any, **how: Any) -> sqlite3.Connection:
        connection = connect(*where, **how)
        connection.executescript("pragma synchronous = off; pragma journal_mode = memory")
        return connection

    monkeypatch.setattr(sqlite3, "connect", hasty)


KEYS = st.sampled_from("abcd")
PEOPLE = ("ann", "ben", "cleo")


@dataclass
class Round:
    """What is met, which troubles there are (None: not looked at), and how many notices each takes before being away."""

    met: list[str]
    troubles: set[str] | None
    patience: dict[str, int | None] = field(default_factory=dict)


ROUNDS = st.lists(
    st.builds(
        Round,
        st.lists(KEYS, max_size=3),
        st.none() | st.sets(KEYS, max_size=2),
        st.fixed_dictionaries({name: st.none() | st.integers(0, 3) for name in PEOPLE}),
    ),
    max_size=6,
)


@pytest.mark.usefixtures("no_waiting_for_the_disk")
@given(ROUNDS)
@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_whatever_rounds_fail_everybody_gets_everything_once_and_in_order(rounds: list[Round]) -> None:
    people = {name: Somebody() for name in PEOPLE}
    expected: list[tuple[str, str]] = []
    lasting: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for number, one in enumerate([*rounds, Round([], None)]):
            now = NOW + timedelta(hours=number)
            outbox = Outbox(Path(folder))
            outbox.put(holes(*one.met), now)
            expected += [("hole", key) for key in dict.fromkeys(one.met) if ("hole", key) not in expected]
            if one.troubles is not None:
                outbox.hold("check.failed", [a_notice(key, "check.failed") for key in sorted(one.troubles)], now)
                expected += [("check.failed", key) for key in sorted(one.troubles - lasting)]
                lasting = one.troubles
            for name, somebody in people.items():
                somebody.patience = one.patience.get(name)
            delivery = outbox.deliver(dict(people), now)
            for name, somebody in people.items():
                got = [(notice.kind, notice.key) for notice in somebody.got]
                assert got == expected[: len(got)], "in the order in which it happened, and nothing twice"
                assert delivery.waiting.get(name, 0) == len(expected) - len(got)
    for somebody in people.values():
        assert Counter((notice.kind, notice.key) for notice in somebody.got) == Counter(expected)
