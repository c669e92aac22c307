"""Two years of plausible payments. Every payment depends on seed, habit and day alone, so history never moves."""

from collections.abc import Iterator
from datetime import date, timedelta

from .plans import Habit, Plan
from .records import Account, Split, Transaction
from .values import EPOCH, Dice

_PER_DAY, _PER_ACCOUNT, _PER_LAG = 400_000, 50_000, 10_000
_PENDING, _BY_HAND = 40_000, 300_000
_YEARS = 730
LONGEST_LAG = 2
"""Days from a payment to its booking, at most."""


def first_id(plan: Plan, day: date) -> int:
    """Returns the lowest id that a row of this bank can have on a day; tomorrow's are all higher."""
    return (3_000_000 if plan.bank == "kontist" else 10**10) + (day - EPOCH).days * _PER_DAY


def id_by_hand(plan: Plan, today: date, count: int) -> int:
    """Returns the id of the `count`th added row; above all ids that a day makes by itself."""
    return first_id(plan, today) + _BY_HAND + count


def days_of_life(seed: int, account: Account, first: date, last: date, today: date) -> Iterator[Transaction]:
    """Returns the rows that payments from `first` to `last` show on the day `today`, booked or pending."""
    monthly: dict[int, list[Habit]] = {}
    by_chance: list[Habit] = []
    for habit in account.plan.habits:
        (monthly.setdefault(habit.on, []) if habit.on else by_chance).append(habit)
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        dice = Dice(seed, account.bank, account.plan.slot, ordinal)
        habits = [habit for habit in by_chance if dice.below(1024) < habit.chance]
        for number in _due(day):
            habits.extend(monthly.get(number, ()))
        index = 0
        for habit in habits:
            for row in _payments(seed, account, habit, day, index):
                index += 1
                if row.booked_on is None or row.booked_on <= today:
                    yield row
                elif habit.card:
                    yield _reserved(row, index)


def spread(seed: int, account: Account, count: int, today: date) -> Iterator[Transaction]:
    """Returns exactly `count` booked rows, evenly over two years up to `today`, for measuring. Not stable over days."""
    plan, habits = account.plan, account.plan.habits
    start = today - timedelta(days=_YEARS - 1)
    before, index = -1, 0
    day, base = start, 0
    for place in range(count):
        offset = place * _YEARS // count
        index = index + 1 if offset == before else 0
        if offset != before:
            before, day = offset, start + timedelta(days=offset)
            base = first_id(plan, day) + plan.slot * _PER_ACCOUNT
        dice = Dice(seed, plan.slot, place)
        row = _payment(account, habits[dice.below(len(habits))], day, dice, base + index)
        row.booked_on = day
        yield row


def next_due(habit: Habit, after: date) -> date:
    """Returns the next day of the month that a standing or timed order names, weekend or not."""
    day = after + timedelta(days=1)
    while day.day != habit.on:
        day += timedelta(days=1)
    return day


def order_cents(seed: int, habit: Habit, day: date) -> int:
    """Returns the amount that an order will move on a day, unsigned: the same as the payment that it becomes."""
    return _drawn(Dice(seed, habit.key, _nominal(habit, day).toordinal()), habit)


def _due(day: date) -> tuple[int, ...]:
    """Returns the days of the month whose monthly payments are made on `day`: Friday takes the weekend's."""
    if day.weekday() >= 5:
        return ()
    if day.weekday() == 4:
        return day.day, (day + timedelta(days=1)).day, (day + timedelta(days=2)).day
    return (day.day,)


def _nominal(habit: Habit, day: date) -> date:
    """Returns the day of the month a payment stands for: both ends and the order agree on it, whatever day it is made."""
    if not habit.on:
        return day
    return next(named for named in (day + timedelta(days=ahead) for ahead in range(3)) if named.day == habit.on)


def _drawn(dice: Dice, habit: Habit) -> int:
    return (habit.low + dice.below(habit.high - habit.low + 1)) * habit.ratio // 100


def _payments(seed: int, account: Account, habit: Habit, day: date, index: int) -> Iterator[Transaction]:
    """Returns a payment and its twins, as booked; each has an id of its own and nothing else that differs."""
    key = (seed, habit.key, _nominal(habit, day).toordinal())
    dice = Dice(*key)
    first = _payment(account, habit, day, dice, 0)
    lag = habit.lag[0] + dice.below(habit.lag[1] - habit.lag[0] + 1)
    copies = habit.times + (1 if dice.below(1024) < habit.twins else 0)
    booked_on = day + timedelta(days=lag)
    base = first_id(account.plan, booked_on) + account.plan.slot * _PER_ACCOUNT + lag * _PER_LAG
    for copy in range(index, index + copies):
        row = first if copy == index else _payment(account, habit, day, Dice(*key), 0)
        row.id, row.booked_on = base + copy, booked_on
        yield row


def _payment(account: Account, habit: Habit, day: date, dice: Dice, number_id: int) -> Transaction:
    cents = _drawn(dice, habit)
    number = 10_000 + dice.below(90_000)
    description = habit.description
    if description is not None and "{" in description:
        description = description.replace("{number}", str(number)).replace("{month}", f"{day.month:02d}/{day.year}")
    row = Transaction(number_id, account, day, None, -cents if habit.out else cents, habit.party, habit.party_iban, description)
    row.kind, row.labels, row.category, row.mandate = habit.kind, habit.labels, habit.category, habit.mandate
    if habit.party_iban is not None and account.bank == "kontist":
        row.e2e_id = f"E-{number:05d}{day.toordinal()}" if habit.out else "NOTPROVIDED"
    if habit.foreign is not None:
        row.original_currency, row.original_cents = habit.foreign[0], cents * 100 // habit.foreign[1]
    if habit.invoice and number % 3 == 0:
        row.invoice = number
    row.splits = _divided(row.cents, habit)
    if habit.symbol:
        row.symbol = f"{day.year}{day.month:02d}0042"
    return row


def _divided(cents: int, habit: Habit) -> tuple[Split, ...]:
    """Returns the splits of a payment; what is left of whole cents is in the first."""
    parts = [(1 if cents > 0 else -1) * (abs(cents) * share // 100) for _, share in habit.splits]
    parts[:1] = [cents - sum(parts[1:])] if parts else []
    return tuple(Split(number, part, name) for number, (part, (name, _)) in enumerate(zip(parts, habit.splits, strict=True), 1))


def _reserved(row: Transaction, index: int) -> Transaction:
    """Returns the row that a card payment shows until it is booked as `row`: under another id, and abroad at another amount."""
    plan = row.account.plan
    own_id = first_id(plan, row.day) + plan.slot * _PER_ACCOUNT + _PENDING + index
    pending = Transaction(own_id, row.account, row.day, None, row.cents, row.party, row.party_iban, row.description)
    pending.kind, pending.labels, pending.category = row.kind, row.labels, row.category
    pending.original_cents, pending.original_currency = row.original_cents, row.original_currency
    if row.original_currency is not None:
        pending.cents += abs(row.cents) // 50  # the exchange rate is known only when it is booked
    # A night owl: in Berlin it is past midnight, in UTC often still the day before, and it never lies in the future.
    pending.minute, pending.settles = 20 + row.cents % 90, row
    return pending
