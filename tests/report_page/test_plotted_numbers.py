"""What is drawn is what the ledger holds: places of lines and bars are turned back into amounts, and compared with SQL."""

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from tests.report_page.conftest import Draw
from tests.support import rows

LEFT, RIGHT, TOP, BOTTOM = 40, 356, 8, 118
PLACE = Decimal("0.051")
"""Half of the last digit of a place, and what a division loses."""
FLOW = "ledger_account not in ('Assets:Transit', 'Equity:Conversions')"
GROUPS = {"k": 3, "M": 6, "B": 9, "T": 12}


class Drawn:
    """A page of a ledger whose amounts are drawn by lot, and that ledger."""

    def __init__(self, draw: Any, seed: int) -> None:
        amount = f"cast((random() - 0.4) * pow(10, 1 + 4 * {seed}) as decimal(18, 2))"
        text = draw(
            "set threads = 1",
            f"select setseed(0.{seed})",
            f"update balances_daily set closing_balance = {amount}",
            f"update cash_forecast set closing_balance = {amount}",
            f"update net_worth_daily set balance = {amount}, total_reporting_balance = {amount}",
            f"update cash_flow_monthly set money_in = abs({amount}), money_out = -abs({amount})",
            "update cash_flow_monthly set net_amount = money_in + money_out",
            f"update transactions set amount = {amount}",
            "update coverage set status = 'seen', difference_amount = null,"
            " proof = ['chain', 'derived', 'differs'][1 + cast(floor(random() * 3) as integer)]",
        )
        self.page = html.fromstring(text)
        self._folder = draw.copy.parent

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return rows(self._folder, query)

    def figures(self, kind: str) -> dict[str, Any]:
        """Plots by their title."""
        found = self.page.xpath(f"//figure[starts-with(@id, '{kind}-')]")
        return {one.xpath("string(.//*[@class='name'])"): one for one in found}


@pytest.fixture(scope="module", params=(1, 2, 3), ids=lambda seed: f"world {seed}")
def drawn(data: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Drawn:
    """Amounts up to 10^5, 10^9 and 10^13."""
    return Drawn(Draw(data / "ledger.duckdb", tmp_path_factory.mktemp("drawn") / "ledger.duckdb"), request.param)


def cells(table: Any) -> list[list[str]]:
    return [[cell.text_content().strip() for cell in row.xpath("./th|./td")] for row in table.xpath(".//tbody/tr")]


def money(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def scale(figure: Any) -> Callable[[str], tuple[Decimal, Decimal]]:
    """Returns a function from a height to its amount and to what the height cannot tell, by the labels of the axis."""
    ticks = figure.xpath(".//text[@class='tick end' and @x='35']")
    labels = [(Decimal(tick.get("y")), tick.text) for tick in (ticks[0], ticks[-1])]
    (y_low, low), (y_high, high) = (
        (y, Decimal(re.sub("[kMBT]$", "", text)).scaleb(GROUPS.get(text[-1], 0))) for y, text in labels
    )
    unit = (high - low) / (y_low - y_high)
    return lambda y: (low + (y_low - Decimal(y)) * unit, unit * PLACE)


def steps(path: str) -> Iterator[tuple[str, str]]:
    """Places of a line of steps."""
    begin, rest = re.fullmatch(r"M([\d.-]+ [\d.-]+)(.*)", path).groups()  # type: ignore[union-attr]
    yield tuple(begin.split())  # type: ignore[misc]
    yield from re.findall(r"H([\d.-]+)V([\d.-]+)", rest)


def holds(figure: Any, path: str, points: list[tuple[date, Decimal]]) -> None:
    """Asserts that a line goes through these points and no other, as exactly as it is drawn."""
    svg = figure.find(".//svg")
    first, last = (date.fromisoformat(svg.get(name)) for name in ("data-first", "data-last"))
    amount_at, drawn = scale(figure), list(steps(path))
    assert len(drawn) == len(points)
    for (x, y), (day, amount) in zip(drawn, points, strict=True):
        at = LEFT + Decimal((day - first).days * (RIGHT - LEFT)) / max(1, (last - first).days)
        shown, exact = amount_at(y)
        assert abs(Decimal(x) - at) <= PLACE, day
        assert abs(shown - amount) <= exact, (day, amount)


def test_a_line_goes_through_the_balances_of_its_account_and_a_dashed_one_through_those_expected(drawn: Drawn) -> None:
    names = dict(drawn.sql("select display_name, account_id from accounts"))
    figures = drawn.figures("account")
    assert set(figures) == set(names)
    for name, figure in figures.items():
        known = dict(drawn.sql(f"select day, closing_balance from balances_daily where account_id = '{names[name]}'"))
        table = [(date.fromisoformat(row.xpath("string(.//time/@datetime)")), money(row[1].text), row[2].text)
                 for row in figure.xpath(".//tbody/tr")]  # fmt: skip
        points = [(day, amount) for day, amount, state in table if state != "expected"]
        days = [day for day, _ in points]
        gaps = {(after - before).days for before, after in pairwise(days[1:])}

        assert len(points) > 100
        assert [known[day] for day in days] == [amount for _, amount in points]
        assert len(gaps) == 1  # evenly, from the last day back to the first ones
        assert days[-1] == max(known)
        assert (days[0] - min(known)).days < gaps.pop()
        holds(figure, figure.xpath("string(.//path[@class='line']/@d)"), points)

        expected = dict(drawn.sql(f"select day, closing_balance from cash_forecast where account_id = '{names[name]}'"))
        coming = [(day, amount) for day, amount, state in table if state == "expected"]
        moving = {day for (day,) in drawn.sql(
            f"select day from cash_forecast where account_id = '{names[name]}' and (expected_in <> 0 or expected_out <> 0)"
            f" and day < date '{min(expected)}' + 90")}  # fmt: skip
        assert moving <= dict(coming).keys()
        assert [expected[day] for day, _ in coming] == [amount for _, amount in coming]
        holds(figure, figure.xpath("string(.//path[@class='forecast']/@d)"), [points[-1], *coming])


def test_a_line_of_a_currency_goes_through_its_sums(drawn: Drawn) -> None:
    figures = drawn.figures("total")
    assert {"All accounts in EUR", "All accounts in PLN", "Everything in EUR"} == set(figures)
    for name, figure in figures.items():
        currency, column = name.split()[-1], "balance" if name.startswith("All") else "total_reporting_balance"
        points = [(date.fromisoformat(row.xpath("string(.//time/@datetime)")), money(row[1].text))
                  for row in figure.xpath(".//tbody/tr")]  # fmt: skip
        known: dict[date, set[Decimal]] = {}
        for day, amount in drawn.sql(
            f"select day, {column} from net_worth_daily" + (f" where currency = '{currency}'" if column == "balance" else "")
        ):
            known.setdefault(day, set()).add(amount)

        assert len(points) > 100
        assert all(amount in known[day] for day, amount in points)
        assert points[-1][0] == max(known)
        holds(figure, figure.xpath("string(.//path[@class='line']/@d)"), points)


def test_a_strip_under_a_line_marks_the_days_that_are_not_proven(drawn: Drawn) -> None:
    words = {"chain": "proven", "derived": "complete", "differs": "differs"}
    order = list(words.values())
    for name, figure in drawn.figures("account").items():
        states = {day: words[proof] for day, proof in drawn.sql(
            "select day, proof from coverage semi join accounts using (account_id)"
            f" where account_id = (select account_id from accounts where display_name = '{name}')")}  # fmt: skip
        shown = [(date.fromisoformat(row.xpath("string(.//time/@datetime)")), row[2].text) for row in figure.xpath(".//tbody/tr")]
        points = [(day, state) for day, state in shown if state != "expected"]
        begin = min(states)
        for day, state in points:
            worst = max((states[begin + timedelta(days=one)] for one in range((day - begin).days + 1)), key=order.index)
            assert state.split()[0].rstrip(",") == worst, (name, day)
            begin = day + timedelta(days=1)
        bands = figure.xpath(".//rect[starts-with(@class, 'band')]")
        runs = [one for one, before in zip(points, [(None, ""), *points], strict=False) if one[1] != before[1]]
        assert [band.get("class").split()[1] for band in bands] == [
            state.split()[0].rstrip(",") for _, state in runs if not state.startswith("proven")
        ]


def test_bars_are_as_high_as_what_came_in_and_went_out_in_their_month(drawn: Drawn) -> None:
    flows = drawn.page.xpath("//div[@class='currency']")
    assert len(flows) == 3
    for flow in flows:
        currency = flow.find("h4").text
        known = {month: (into, out) for month, into, out in drawn.sql(
            "select strftime(month, '%b %Y'), sum(money_in), sum(money_out) from cash_flow_monthly"
            f" where currency = '{currency}' and {FLOW} and month > (select max(day) from coverage) - to_months(24)"
            " group by month"
        )}  # fmt: skip
        table = {row[0]: (money(row[1]), money(row[2])) for row in cells(flow.xpath(".//div[contains(@class, 'tall')]/table")[0])}
        assert {month: sums for month, sums in table.items() if any(sums)} == known
        assert len(table) == 24 or not set(table) - set(known)

        amount_at = scale(flow)
        zero = Decimal(re.match(r"M40 ([\d.-]+)", flow.xpath("string(.//path[@class='zero']/@d)"))[1])  # type: ignore[index]
        bars = flow.xpath(".//figure//rect[starts-with(@class, 'bar')]")
        places = []
        for bar, (month, kind) in zip(bars, [(month, kind) for month in reversed(table) for kind in (0, 1)], strict=True):
            amount = table[month][kind]
            top, height = Decimal(bar.get("y")), Decimal(bar.get("height"))
            shown, exact = amount_at(str(top if amount > 0 else top + height))
            assert bar.get("class") == ("bar in", "bar out")[kind]
            assert bar.find("title").text == f"{('In', 'Out')[kind]}, {month}: {amount:,.2f} {currency}"
            assert abs(shown - amount) <= exact
            assert abs((top + height if amount > 0 else top) - zero) <= PLACE
            places.append(Decimal(bar.get("x")))
        assert places == sorted(places)


def test_categories_and_counterparties_are_those_of_twelve_months(drawn: Drawn) -> None:
    ((last,),) = drawn.sql("select max(day) from coverage")
    first = f"date_trunc('month', date '{last}') - to_months(11)"
    asked = {
        0: "select ledger_account, sum(net_amount), sum(transactions) from cash_flow_monthly where currency = '{currency}'"
        f" and {FLOW} and month >= {first} group by ledger_account",
        1: "select coalesce(c.name, c.names[1], 'no name'), sum(amount), count(*) from transactions t"
        " join counterparties c using (counterparty_id) where t.currency = '{currency}' and status = 'booked'"
        f" and transfer_id is null and not is_own and booked_on >= {first} and booked_on <= date '{last}'"
        " group by counterparty_id, 1",
    }
    for flow in drawn.page.xpath("//div[@class='currency']"):
        tables = flow.xpath(".//table[@class='parts']")
        for place, table in enumerate(tables):
            known = drawn.sql(asked[place].format(currency=flow.find("h4").text))
            shown = [(re.sub(r" …\w{4}$", "", row[0]), money(row[2]), int(row[3])) for row in cells(table)]
            largest = sorted(known, key=lambda one: -abs(one[1]))
            assert sorted(shown[:10]) == sorted(largest[:10])
            assert [abs(net) for _, net, _ in shown[:10]] == [abs(net) for _, net, _ in largest[:10]]
            if rest := largest[10:]:
                assert shown[10][1:] == (sum(net for _, net, _ in rest), sum(number for *_, number in rest))
            assert len(shown) == min(11, len(known))
            for (_, net, _), bar in zip(shown, table.xpath(".//rect"), strict=True):
                share = min(100, int(abs(net) * 100 / abs(largest[0][1])))
                assert (bar.get("width"), bar.get("class")) == (str(share), f"bar {'in' if net > 0 else 'out'}")
