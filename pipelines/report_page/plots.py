"""Where lines and bars of a plot lie. Places are computed from Decimal; an amount is never a float, not even here.

A plot is 360 units wide, which a narrow telephone shows nearly one to one. Its text is drawn by the templates.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import groupby

from msgspec import Struct

from pipelines.report_page.wording import compact, short_day, short_month

LEFT, RIGHT, TOP, BOTTOM = 40, 356, 8, 118
"""The frame of a plot: room for the labels of both axes is around it."""
PARTS, LABELS = 3, 5
_ZERO = Decimal(0)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 240)
_DAY_STEPS = (1, 2, 5, 7, 14)
_FEW_DAYS = 62
_WIDEST = Decimal(24)


class Tick(Struct, frozen=True):
    """A label of an axis, and where it stands."""

    at: str
    label: str


class Band(Struct, frozen=True):
    """A stretch of days in one state."""

    x: str
    width: str
    state: str


class Point(Struct, frozen=True):
    """A day, its balance, and its state (`coverage.STATES`)."""

    day: date
    amount: Decimal
    state: str = "proven"


class LinePlot(Struct, frozen=True):
    """A balance over days, what is expected of it, and the state of its days."""

    line: str
    area: str
    forecast: str
    bands: Sequence[Band]
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Tick]
    zero: str
    first: date
    last: date
    today: str


class Bar(Struct, frozen=True):
    """A rectangle with its value in words."""

    x: str
    y: str
    width: str
    height: str
    kind: str
    title: str


class BarPlot(Struct, frozen=True):
    """Bars over or under a line."""

    bars: Sequence[Bar]
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Tick]
    zero: str


class _Height:
    """Turns amounts into heights; zero always belongs to the plot."""

    def __init__(self, amounts: Sequence[Decimal]) -> None:
        low, high = min([*amounts, _ZERO]), max([*amounts, _ZERO])
        self._step = _nice_step(high - low)
        self._low = (low / self._step).to_integral_value(ROUND_FLOOR) * self._step
        self._high = max((high / self._step).to_integral_value(ROUND_CEILING) * self._step, self._low + self._step)

    def at(self, amount: Decimal) -> str:
        return _place(BOTTOM - (amount - self._low) * (BOTTOM - TOP) / (self._high - self._low))

    def ticks(self) -> list[Tick]:
        number = int((self._high - self._low) / self._step)
        amounts = [self._low + self._step * part for part in range(number + 1)]
        return [Tick(self.at(amount), compact(amount)) for amount in amounts]


def line_plot(points: Sequence[Point], expected: Sequence[Point] = ()) -> LinePlot:
    """Returns the plot of these points, of which there is at least one, in the order of their days."""
    height = _Height([point.amount for point in (*points, *expected)])
    first, last = points[0].day, (expected or points)[-1].day
    days = max(1, (last - first).days)

    def x(day: date) -> str:
        return _place(LEFT + Decimal((day - first).days * (RIGHT - LEFT)) / days)

    steps = "".join(f"H{x(point.day)}V{height.at(point.amount)}" for point in points[1:])
    line = f"M{x(first)} {height.at(points[0].amount)}{steps}"
    if len(points) == 1:
        line += f"h{_place(Decimal(2))}"
    zero = height.at(_ZERO)
    today = x(points[-1].day)
    begun = f"M{today} {height.at(points[-1].amount)}"
    forecast = "".join(f"H{x(point.day)}V{height.at(point.amount)}" for point in expected)
    return LinePlot(
        line=line,
        area=f"{line}V{zero}H{x(first)}Z",
        forecast=begun + forecast if expected else "",
        bands=_bands(points, x),
        y_ticks=height.ticks(),
        x_ticks=[Tick(x(day), label) for day, label in day_labels(first, last)],
        zero=zero,
        first=first,
        last=last,
        today=today,
    )


def bar_plot(columns: Sequence[tuple[str, Sequence[tuple[str, Decimal, str]]]]) -> BarPlot:
    """Returns the plot of columns: a label, and bars of it (kind, amount, its value in words), each from zero on."""
    height = _Height([amount for _, bars in columns for _, amount, _ in bars])
    wide = Decimal(RIGHT - LEFT) / max(1, len(columns))
    drawn, labels = [], []
    every = -(-len(columns) // LABELS)
    for place, (label, bars) in enumerate(columns):
        left = LEFT + wide * place
        if (len(columns) - 1 - place) % every == 0:
            labels.append(Tick(_place(left + wide / 2), label))
        for kind, amount, title in bars:
            top, bottom = sorted((Decimal(height.at(amount)), Decimal(height.at(_ZERO))))
            bar = min(wide * 3 / 5, _WIDEST)
            drawn.append(Bar(_place(left + (wide - bar) / 2), str(top), _place(bar), str(bottom - top), kind, title))
    return BarPlot(bars=drawn, y_ticks=height.ticks(), x_ticks=labels, zero=height.at(_ZERO))


def day_labels(first: date, last: date) -> list[tuple[date, str]]:
    """Returns at most six days between the two with their labels: years, months or days, whatever fits."""
    span = (last - first).days
    if span < _FEW_DAYS:
        step = next((one for one in _DAY_STEPS if span <= one * LABELS), _DAY_STEPS[-1])
        days = [first + timedelta(days=number) for number in range(0, span + 1, step)]
        return [(one, short_day(one)) for one in days]
    months = span // 30
    step = next((one for one in _MONTH_STEPS if months < one * (LABELS + 1)), _MONTH_STEPS[-1])
    found = []
    for number in range(first.year * 12 + first.month, last.year * 12 + last.month):
        if number % step == 0:
            one = date(number // 12, number % 12 + 1, 1)
            found.append((one, str(one.year) if step >= 12 else short_month(one)))
    return found


def _bands(points: Sequence[Point], x: Callable[[date], str]) -> list[Band]:
    found = []
    begin = points[0].day
    for state, group in groupby(points, key=lambda point: point.state):
        end = list(group)[-1].day
        left, right = Decimal(x(begin)), Decimal(x(end))
        if state != "proven":
            found.append(Band(str(left), str(max(right - left, Decimal(1))), state))
        begin = end
    return found


def _nice_step(span: Decimal) -> Decimal:
    if span <= 0:
        return Decimal(1)
    base = Decimal(1).scaleb((span / PARTS).adjusted())
    return next(base * number for number in (1, 2, 5, 10) if base * number * PARTS >= span)


def _place(value: Decimal) -> str:
    return f"{value.quantize(Decimal('0.1')).normalize():f}"
