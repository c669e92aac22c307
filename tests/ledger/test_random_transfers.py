"""What must hold of money that moves between own accounts, whatever moves beside it."""

from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.worlds import MODELS, Row, built
from transforms.checks import run_checks

FIRST = date(2026, 3, 1)
ACCOUNTS = ("a", "b", "c")


class Transfer(NamedTuple):
    """Money from one account to the next; its ends name each other, one of them does, or neither."""

    origin: int
    step: int
    cents: int
    day: int
    lag: int
    named: str


transfers = st.builds(
    Transfer,
    st.integers(0, 2),
    st.integers(1, 2),
    st.sampled_from([100, 100, 5_000, 12_345]),
    st.integers(0, 30),
    st.integers(0, 3),
    st.sampled_from(["both", "both", "out", "in", "none"]),
)
payments = st.tuples(st.integers(0, 2), st.sampled_from([-100, -5_000, 100, 77]), st.integers(0, 30), st.booleans())


def row(account: str, number: str, cents: int, day: int, iban: str | None) -> Row:
    return {
        "account_id": f"kontomatik:{account}",
        "transaction_id": f"kontomatik:{account}:{number}",
        "booked_on": FIRST + timedelta(days=day),
        "amount": Decimal(cents) / 100,
        "currency": "EUR",
        "party_iban": iban,
    }


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(transfers, max_size=8), st.lists(payments, max_size=5))
def test_transfers_cancel_and_what_does_not_is_under_way(moved: list[Transfer], paid: list[tuple[int, int, int, bool]]) -> None:
    rows = []
    for number, one in enumerate(moved):
        origin, target = ACCOUNTS[one.origin], ACCOUNTS[(one.origin + one.step) % 3]
        rows.append(row(origin, f"t{number}", -one.cents, one.day, f"IBAN{target}" if one.named in ("both", "out") else None))
        rows.append(
            row(target, f"t{number}", one.cents, one.day + one.lag, f"IBAN{origin}" if one.named in ("both", "in") else None)
        )
    for number, (account, cents, day, named) in enumerate(paid):
        rows.append(row(ACCOUNTS[account], f"p{number}", cents, day, "FOREIGN" if named else None))
    accounts = [{"account_id": f"kontomatik:{one}", "iban": f"IBAN{one}", "currency": "EUR"} for one in ACCOUNTS]

    with built({"kontomatik.accounts": accounts, "kontomatik.transactions": rows}) as connection:
        assert [result.name for result in run_checks(connection, MODELS) if not result.passed] == []

        pairs = connection.execute(
            "select out_transaction_id, in_transaction_id, out_amount + in_amount, status from ledger.transfers"
        ).fetchall()
        under_way = {one for (one,) in connection.execute("select transaction_id from ledger.in_transit").fetchall()}
        (rest,) = connection.execute(
            "select coalesce(sum(amount), 0) from ledger.postings where ledger_account = 'Assets:Transit'"
        ).fetchone() or (None,)
        (waiting,) = connection.execute("select coalesce(sum(amount), 0) from ledger.in_transit").fetchone() or (None,)

    ends = [end for pair in pairs for end in pair[:2]]
    assert len(ends) == len(set(ends))
    assert all(pair[2] == 0 for pair in pairs)
    assert rest + waiting == 0
    matched = {end for pair in pairs if pair[3] == "matched" for end in pair[:2]}
    named_by_both = {
        f"kontomatik:{account}:t{number}"
        for number, one in enumerate(moved)
        if one.named == "both"
        for account in (ACCOUNTS[one.origin], ACCOUNTS[(one.origin + one.step) % 3])
    }
    assert named_by_both <= matched | under_way
    assert matched.isdisjoint(under_way)
    # whoever names an own account has its other end, or is reported as unmatched; a foreign IBAN never is a transfer
    foreign = {f"kontomatik:{ACCOUNTS[account]}:p{number}" for number, (account, _, _, named) in enumerate(paid) if named}
    assert foreign.isdisjoint({*ends, *under_way})


class Series(NamedTuple):
    """Equal transfers with one delay, each there before the next one leaves, and one of their ends that the bank never showed."""

    delay: int
    gaps: list[int]
    lost: int
    lost_end: str
    named: str


def series(delay: int) -> st.SearchStrategy[Series]:
    gaps = st.lists(st.integers(delay + 1, 9), min_size=3, max_size=6)
    return st.builds(
        Series,
        st.just(delay),
        gaps,
        st.integers(0, 6),
        st.sampled_from(["out", "in"]),
        st.sampled_from(["both", "out", "in"]),
    )


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 4).flatmap(series), min_size=4, max_size=8))
def test_the_end_that_was_lost_is_the_one_that_is_reported(given_series: list[Series]) -> None:
    rows, expected, under_way = [], set(), set()
    for number, one in enumerate(given_series):
        days = [sum(one.gaps[:place]) for place in range(len(one.gaps) + 1)]
        for place, day in enumerate(days):
            end = f"s{number}t{place}"
            left = row("a", end, -1_000 - number, day, "IBANb" if one.named != "in" else None)
            came = row("b", end, 1_000 + number, day + one.delay, "IBANa" if one.named != "out" else None)
            if place != one.lost % len(days):
                rows += [left, came]
                expected.add((left["transaction_id"], came["transaction_id"]))
            else:
                kept = came if one.lost_end == "out" else left
                rows.append(kept)
                # an end that names nobody is not recognised as one
                under_way |= {kept["transaction_id"]} if kept["party_iban"] else set()
    accounts = [{"account_id": f"kontomatik:{one}", "iban": f"IBAN{one}", "currency": "EUR"} for one in ACCOUNTS]

    with built({"kontomatik.accounts": accounts, "kontomatik.transactions": rows}) as connection:
        pairs = connection.execute("select out_transaction_id, in_transaction_id from ledger.transfers").fetchall()
        outcome = connection.execute("select transaction_id from ledger.in_transit").fetchall()

    assert set(pairs) == expected
    assert {one for (one,) in outcome} == under_way
