"""Lives of people with an account at random: salaries, customers, costs of living, and the figures that follow from them.

What a person earns and pays is computed here by plain arithmetic, apart from the SQL of the models.
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.ledger.worlds import Given

MONTHS = [date(2025 + month // 12, 1 + month % 12, 1) for month in range(3, 18)]
"""From April 2025 to June 2026."""
AS_OF = date(2026, 6, 30)
LATELY_FROM = AS_OF - timedelta(days=89)
REGULAR_FROM, THIS_MONTH = date(2025, 12, 1), date(2026, 6, 1)
"""The six whole months before the one of `AS_OF`."""
READ_AT = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Paid(NamedTuple):
    """One booked movement; `what` is the part of the life that it belongs to."""

    what: str
    day: date
    cents: int
    name: str | None
    purpose: str
    reference: str | None = None


@dataclass(frozen=True)
class Extra:
    """A 13th salary: its month, its part of the salary in percent, and its days after the payday."""

    month: int
    percent: int
    days: int


@dataclass(frozen=True)
class Work:
    """One employer, or one regular customer, month by month; None where nothing was paid."""

    name: str
    payday: int
    moves: list[int]
    cents: list[int | None]
    extra: Extra | None
    is_labelled: bool

    def payments(self) -> Iterator[Paid]:
        """Yields what it pays, with moved days, in order."""
        for month, (move, cents) in enumerate(zip(self.moves, self.cents, strict=True)):
            day = on(MONTHS[month], self.payday) + timedelta(days=move)
            if cents is not None:
                yield Paid(self.name, day, cents, self.name, "Gehalt" if self.is_labelled else f"Rechnung {month}")
            if self.extra is not None and self.extra.month == month and cents is not None:
                purpose = "Weihnachtsgeld" if self.is_labelled else "Sonderzahlung"
                after = day + timedelta(days=self.extra.days)
                yield Paid("extra", after, cents * self.extra.percent // 100, self.name, purpose)


@dataclass(frozen=True)
class Life:
    """One person: who pays, what is paid."""

    works: list[Work]
    rents: list[int]
    loan_from: int | None
    instalment: int
    bets: list[tuple[int, int]]
    purchases: list[tuple[int, int]]
    drawn: list[int]
    """Days before `AS_OF` with 100.00 of cash."""

    def payments(self) -> list[Paid]:
        """Returns all that is booked by `AS_OF`."""
        whole = [paid for work in self.works for paid in work.payments()]
        whole += [Paid("rent", on(month, 2), -cents, "Haus", "Miete") for month, cents in zip(MONTHS, self.rents, strict=True)]
        if self.loan_from is not None:
            whole.append(Paid("paid out", on(MONTHS[self.loan_from], 12), 36 * self.instalment, "Bank", "Darlehen"))
            whole += [Paid("loan", on(month, 15), -self.instalment, "Bank", "Darlehen") for month in MONTHS[self.loan_from + 1 :]]
        whole += [Paid("bet", ago(days), -cents, "Tipico", "Wette") for days, cents in self.bets]
        whole += [Paid("winnings", ago(days), cents * 3, "Tipico", "Gewinn") for days, cents in self.bets[:2]]
        whole += [Paid("purchase", ago(days), -cents, "Markt", "Einkauf") for days, cents in self.purchases]
        whole += [Paid("cash", ago(days), -100_00, None, "Geldautomat") for days in self.drawn]
        # the first purchase of another shop came back whole, of the second a part, and a debit lacked money
        whole += [
            Paid("given back", ago(40), -71_23, "Schuhe", "Bestellung 1", "E1"),
            Paid("back", ago(35), 71_23, "Schuhe", "Retoure", "E1"),
        ]
        whole += [
            Paid("purchase", ago(30), -50_00, "Schuhe", "Bestellung 2"),
            Paid("back", ago(20), 20_00, "Schuhe", "Erstattung"),
        ]
        whole += [
            Paid("given back", ago(15), -33_33, "Strom", "Abschlag", "E2"),
            Paid("debit", ago(12), 33_33, "Strom", "Rücklastschrift", "E2"),
        ]
        return sorted((paid for paid in whole if paid.day <= AS_OF), key=lambda paid: paid.day)

    def total(self, *what: str, first: date = date.min, last: date = AS_OF) -> int:
        """Returns the cents of these parts of the life between two days."""
        return sum(paid.cents for paid in self.payments() if paid.what in what and first <= paid.day <= last)


def on(month: date, day: int) -> date:
    return month.replace(day=min(day, monthrange(month.year, month.month)[1]))


def ago(days: int) -> date:
    return AS_OF - timedelta(days=days)


@st.composite
def employers(draw: st.DrawFn) -> Work:
    """Draws an employer: days that move, two raises, a missed month, a 13th salary or a doubled one."""
    cents, monthly = draw(st.integers(900_00, 9_000_00)), list[int | None]()
    raised = draw(st.dictionaries(st.integers(1, 14), st.integers(1, 11), max_size=2))
    for month in range(len(MONTHS)):
        cents = cents * (100 + raised.get(month, 0)) // 100
        monthly.append(cents)
    missed, doubled = draw(st.none() | st.integers(3, 11)), draw(st.none() | st.integers(2, 11))
    if doubled is not None:
        monthly[doubled] = 2 * (monthly[doubled] or 0)
    if missed is not None:
        monthly[missed] = None
    is_labelled = draw(st.booleans())
    # a word finds a 13th salary on any day; without one it is an extra payment beside the series
    days = st.integers(-9, 9) if is_labelled else st.integers(1, 9)
    extra = None if doubled is not None else draw(st.none() | st.builds(Extra, st.integers(2, 11), st.integers(50, 120), days))
    return Work("Muster GmbH", draw(st.integers(1, 31)), draw(moves()), monthly, extra, is_labelled)


@st.composite
def customers(draw: st.DrawFn) -> list[Work]:
    """Draws two or three customers of a freelancer, who pay about the same each month; nothing says what for."""
    works = []
    for name in ("Kunde Nord", "Kunde Ost", "Kunde West")[: draw(st.integers(2, 3))]:
        cents = draw(st.integers(200_00, 4_000_00))
        monthly: list[int | None] = [cents * percent // 100 for percent in draw(by_month(st.integers(92, 108)))]
        works.append(Work(name, draw(st.integers(1, 28)), draw(moves()), monthly, None, is_labelled=False))
    return works


def by_month(one: st.SearchStrategy[int]) -> st.SearchStrategy[list[int]]:
    return st.lists(one, min_size=len(MONTHS), max_size=len(MONTHS))


def moves() -> st.SearchStrategy[list[int]]:
    """Days that weekends and holidays move a payday."""
    return by_month(st.integers(-2, 2))


@st.composite
def one_life(draw: st.DrawFn) -> Life:
    rent, higher = draw(st.integers(400_00, 1_500_00)), draw(st.integers(0, 15))
    return Life(
        works=draw(customers() | employers().map(lambda one: [one])),
        rents=[rent * (100 + (higher if month >= 8 else 0)) // 100 for month in range(len(MONTHS))],
        loan_from=draw(st.none() | st.integers(0, 13)),
        instalment=draw(st.integers(50_00, 700_00)),
        bets=draw(st.lists(st.tuples(st.integers(0, 200), st.integers(1_00, 90_00)), max_size=4)),
        purchases=draw(st.lists(st.tuples(st.integers(0, 300), st.integers(3_00, 200_00)), max_size=8)),
        drawn=draw(st.lists(st.integers(0, 150), max_size=3, unique=True)),
    )


def lives(number: int = 8) -> st.SearchStrategy[list[Life]]:
    return st.lists(one_life(), min_size=number, max_size=number)


def raw_rows(people: list[Life], known: Sequence[tuple[date, datetime]] | None = None) -> Given:
    """The history of these people, each with an account; `known` says of each the first day, and when it was read."""
    movements: list[dict[str, Any]] = []
    spans = known or [(date.min, READ_AT)] * len(people)
    for number, (life, (since, read_at)) in enumerate(zip(people, spans, strict=True)):
        for place, paid in enumerate(life.payments()):
            if since <= paid.day < read_at.date():
                movements.append(
                    {
                        "account_id": account(number),
                        "source_transaction_id": f"{number}-{paid.what}-{place}",
                        "booking_type": "SEPA",
                        "booking_date": datetime(paid.day.year, paid.day.month, paid.day.day, 12, tzinfo=UTC),
                        "amount_cents": paid.cents,
                        "name": paid.name,
                        "purpose": paid.purpose,
                        "e2e_id": paid.reference,
                    }
                )
    return {
        "kontist.accounts": [{"account_id": account(number), "balance_cents": 5_000_00} for number in range(len(people))],
        "kontist.imports": [
            {"import_id": f"i-{number}", "account_id": account(number), "finished_at": read_at}
            for number, (_, read_at) in enumerate(spans)
        ],
        "kontist.transactions": movements,
    }


def account(number: int) -> str:
    return f"kontist:{number}"
