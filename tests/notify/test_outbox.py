"""What the outbox promises: everybody gets every notice, once, whatever fails on the way."""

import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipelines.notify.outbox
from pipelines.notify.notices import KINDS, LASTING, NEWS, Kind, Notice
from pipelines.notify.outbox import KEPT, PATIENCE, Delivery, Outbox
from tests.notify.receivers import DAY, NOW, SECOND, Somebody, a_notice, holes
from tests.patience import patient

ROOT = Path(__file__).parents[2]

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


def test_a_channel_that_breaks_counts_as_failed(tmp_path: Path) -> None:
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
