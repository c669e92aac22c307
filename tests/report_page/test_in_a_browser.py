"""The page as a person sees it: in headless Chromium, with no network."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.house.hostile import HOSTILE
from tests.patience import patient
from tests.support import rows

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")
LOUD = "THE PAGE WAS NOT LOOKED AT: there is no Chromium on this machine (Debian: `apt-get install chromium`)"
PHONE, DESK = 360, 1280
IMAGE = '<img src=x onerror="window.hit=1">'
IBAN = "DE90999999990000004711"
TOWERS = "Z" + "\u0301\u0489" * 60
ALL_HOSTILE = " ".join([TOWERS, *HOSTILE.values()]).encode("utf-8", "replace").decode().replace("'", "''").replace("\x00", "")


FEW = "delete from transactions where transaction_id not in (from transactions select transaction_id order by booked_on limit 20)"
MONTH = "(select cast(date_trunc('month', max(day)) as date) from coverage)"
"""The month that is shown unless another is asked for."""


@dataclass
class Seen:
    """An open page, and what it did that it should not."""

    page: Page
    asked_for: list[str] = field(default_factory=list)
    complained: list[str] = field(default_factory=list)

    def table(self, selector: str) -> list[list[str]]:
        """Returns the cells of a table's body, as they are shown."""
        script = "(table) => [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"
        found: list[list[str]] = self.page.locator(selector).first.evaluate(script)
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests here."""
    if BROWSER is None:
        if os.environ.get("KONTOLEDGER_NEEDS_BROWSER"):
            pytest.fail(LOUD)
        pytest.skip(LOUD)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def look(browser: Browser) -> Callable[..., Any]:
    """Returns a context manager that opens a file."""

    @contextmanager
    def opened(path: Path, *, width: int = DESK, scheme: Any = "light", script: bool = True) -> Iterator[Seen]:
        size: Any = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, java_script_enabled=script, offline=True)
        context.set_default_timeout(patient(3) * 1000)
        seen = Seen(context.new_page())
        seen.page.on("request", lambda request: seen.asked_for.append(request.url))
        seen.page.on("console", lambda message: seen.complained.append(message.text))
        seen.page.on("pageerror", lambda error: seen.complained.append(str(error)))
        seen.page.goto(path.as_uri())
        yield seen
        context.close()

    return opened


@pytest.fixture
def hostile(draw: Any, tmp_path: Path) -> Path:
    """A page on which every text of a bank tries all that it can."""
    text = f"'{ALL_HOSTILE}' || repeat('x', 10000) || ' javascript:alert(1)'"
    page = draw(
        f"update transactions set counterparty_name = {text}, description = '{IMAGE} {IBAN} ' || {text}",
        f"update counterparties set name = '<script>window.hit = 1</script>' || {text}",
        f"update accounts set institution = {text}",
        f"update accounts set display_name = '<svg onload=\"window.hit=1\">' || {text}",
        f"update imports set status = 'failed', reason = {text}",
        f"update expected_payments set counterparty_name = {text}, status = 'late', description = '</style><b>' || {text}",
        f"update consents set institution = {text}",
        f"insert into quarantine by name (select 'q' as quarantine_id, 'kontist' as source, {text} as reason)",
    )
    path = tmp_path / "hostile.html"
    path.write_text(page, encoding="utf-8")
    return path


def last_day_before(draw: Any) -> date:
    """The last day of the month before the newest one: all its days are over, also on the first day of a month."""
    ((day,),) = draw.rows(f"select {MONTH} - 1 from coverage limit 1")
    return cast(date, day)


def money(text: str) -> Decimal:
    """The amount that a cell shows."""
    return Decimal(text.replace(",", ""))


def test_its_numbers_are_those_of_the_ledger_to_the_cent(data: Path, look: Any) -> None:
    with look(data / "report.html") as seen:
        accounts = {row[0]: row for row in seen.table("#accounts")}
        shown = rows(data, "select display_name, balance, currency from accounts")
        assert {(name, money(row[1]), row[2]) for name, row in accounts.items()} == set(shown)
        days = [[int(cell) for cell in row[5:]] for row in accounts.values()]
        assert [sum(states) for _, *states in days] == [number for number, *_ in days]

        flows = [row[1:] for table in range(1, 4) for row in seen.table(f"#flow-{table} .tall table")]
        shown = rows(
            data,
            "select sum(money_in), sum(money_out) from cash_flow_monthly"
            " where ledger_account not in ('Assets:Transit', 'Equity:Conversions')"
            " and month > (select max(day) from coverage) - to_months(24) group by currency, month",
        )
        moved = [[money(into), money(out)] for into, out, _ in flows]
        # a month without money is shown, too: the newest one on its first day
        assert sorted(one for one in moved if any(one)) == sorted(map(list, shown))
        assert all(money(net) == money(into) + money(out) for into, out, net in flows)

        shown = rows(
            data,
            f"select ledger_account, currency, sum(net_amount) from cash_flow_monthly where month = {MONTH}"
            " and ledger_account not in ('Assets:Transit', 'Equity:Conversions') group by all",
        )
        listed = seen.table("#categories") if shown else []  # a month that has just begun has none
        month = {(row[0], row[1]): money(row[4]) for row in listed}
        assert month == {(name, currency): net for name, currency, net in shown}

        assert len(seen.table("#newest")) == rows(data, "select least(500, count(*)) from transactions")[0][0]
        amounts = sum(money(row[5]) for row in seen.table("#newest") if row[6] == "PLN")
        newest = "from transactions order by coalesce(booked_on, transaction_on) desc, transaction_id limit 500"
        assert amounts == rows(data, f"select sum(amount) from ({newest}) where currency = 'PLN'")[0][0]


def test_the_runs_are_those_of_the_ledger(data: Path, look: Any) -> None:
    with look(data / "report.html") as seen:
        shown = {row[-1]: row for row in seen.table("#run-list")}
        phases = seen.page.locator("#runs svg rect.bar").evaluate_all("(bars) => bars.map((bar) => bar.textContent)")
    known = rows(
        data,
        "select run_id, status, extract_seconds, load_seconds, transform_seconds, total_seconds, new_rows, changed_rows,"
        " removed_rows, quarantined_rows, requests, checks_passed, accounts from runs",
    )

    assert len(known) == len(shown) == 2
    for run_id, status, *numbers, passed, accounts in known:
        took, counts = numbers[:4], numbers[4:]
        assert shown[run_id][1] == status
        assert shown[run_id][2:6] == ["–" if seconds is None else f"{seconds:.1f} s" for seconds in took]
        assert shown[run_id][6:11] == [str(number) for number in counts]
        assert shown[run_id][11] == f"{passed} passed"
        assert shown[run_id][12].startswith(f"{accounts} ")
    assert len(phases) == sum(seconds is not None for row in known for seconds in row[2:5]) == 5


def test_every_point_of_a_plot_is_a_closing_balance(data: Path, look: Any) -> None:
    names = dict(rows(data, "select display_name, account_id from accounts"))
    with look(data / "report.html") as seen:
        points = {
            name: [(row[0], money(row[1])) for row in seen.table(f"#account-{number} table") if row[2] != "expected"]
            for number, name in enumerate(names_of(seen), 1)
        }
    known = rows(data, "select account_id, strftime(day, '%-d %b %Y'), closing_balance from balances_daily order by day")

    assert set(points) == set(names)
    for name, account_id in names.items():
        balances = {day: amount for one, day, amount in known if one == account_id}
        assert len(points[name]) > 100
        assert points[name][-1] == list(balances.items())[-1]
        assert {day: balances[day] for day, _ in points[name]} == dict(points[name])


def names_of(seen: Seen) -> list[str]:
    """The accounts that have a plot, in their order."""
    return seen.page.locator("figure[id^=account-] .name").all_text_contents()


def test_a_square_says_what_coverage_says(data: Path, draw: Any, look: Any, tmp_path: Path) -> None:
    last = last_day_before(draw)
    path = tmp_path / "page.html"
    path.write_text(draw(month=last.replace(day=1)), encoding="utf-8")
    with look(path) as seen:
        words = [word for row in seen.table(".calendar") for cell in row[1:] if (word := cell[1:])]
    shown = rows(
        data,
        "select count(*), count(*) filter (where status = 'seen' and proof in ('chain', 'reported')) from coverage"
        f" where date_trunc('month', day) = date '{last.replace(day=1)}'",
    )

    assert (len(words), words.count("proven")) == shown[0]
    assert words.count("proven") > 0


def test_it_asks_for_nothing_and_complains_of_nothing(data: Path, look: Any) -> None:
    for script in (True, False):
        with look(data / "report.html", script=script) as seen:
            assert seen.asked_for == [(data / "report.html").as_uri()]
            assert seen.complained == []


def test_no_text_of_a_bank_becomes_markup_or_a_link(hostile: Path, look: Any) -> None:
    with look(hostile) as seen:
        page = seen.page
        assert page.evaluate("window.hit") is None
        assert page.evaluate("[...document.links].map((link) => link.getAttribute('href')[0])") == ["#"] * 5
        assert (
            page.evaluate("document.querySelectorAll('img, iframe, object, embed, form, base, b, [onload], [onerror]').length")
            == 0
        )
        assert page.evaluate("document.scripts.length + document.querySelectorAll('style').length") == 2
        assert "<img src=x onerror" in page.locator("#newest").inner_text()
        text = page.evaluate("document.documentElement.textContent")
        assert not re.search("[\u202e\u2066\u0000\ufeff]", text)
        assert IBAN not in text
        assert (seen.asked_for, seen.complained) == ([hostile.as_uri()], [])
    assert hostile.stat().st_size < 2_000_000


@pytest.mark.parametrize(("scheme", "rules"), [("light", None), ("dark", ["color-contrast"])])
def test_axe_finds_no_serious_fault(draw: Any, look: Any, tmp_path: Path, scheme: str, rules: Any) -> None:
    """It looks at each cell, so there are few: of one account, whose days are in every state."""
    states = ["proof = 'differs', difference_amount = 1", "status = 'hole'", "status = 'unfinished'", "proof = 'derived'"]
    last = last_day_before(draw)
    worse = [f"update coverage set {what} where day = date '{last}' - {number + 2}" for number, what in enumerate(states)]
    ((account_id,),) = draw.rows("select min(account_id) from coverage where proof = 'chain'")
    path = tmp_path / "page.html"
    path.write_text(draw(*worse, FEW, account_id=account_id, month=last.replace(day=1)), encoding="utf-8")
    options = {"resultTypes": ["violations"]} | ({"runOnly": {"type": "rule", "values": rules}} if rules else {})
    with look(path, scheme=scheme) as seen:
        assert {cell.strip()[0] for cell in seen.page.locator(".calendar td").all_text_contents() if cell} == set("•○~×!")
        found = Axe().run(seen.page, options=options).response["violations"]

    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_nothing_is_wider_than_a_phone(data: Path, hostile: Path, look: Any) -> None:
    for path in (data / "report.html", hostile):
        with look(path, width=PHONE) as seen:
            assert seen.page.evaluate("document.documentElement.scrollWidth") == PHONE


def test_a_phone_shows_the_amount_of_each_transaction_that_a_search_finds(data: Path, look: Any) -> None:
    with look(data / "report.html", width=PHONE) as seen:
        table = seen.page.locator("#newest tbody")
        seen.page.get_by_label("Search").fill("pending")
        found = table.locator("tr:visible").count()
        boxes = [one.bounding_box() for one in table.locator("tr:visible td:nth-child(6)").all()]

    assert 0 < found == len(boxes) < 300
    assert all(box and box["width"] > 0 and box["x"] + box["width"] < PHONE for box in boxes)


def test_no_table_is_wider_than_a_desk(data: Path, look: Any) -> None:
    wider = (
        "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel)"
    )
    with look(data / "report.html") as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        assert seen.page.evaluate("document.querySelectorAll('.scroll').length") > 20
        assert seen.page.evaluate(wider) == []


def test_every_part_that_the_keyboard_reaches_has_a_name_of_its_own_and_a_frame(data: Path, look: Any) -> None:
    about = "(one) => [one.getAttribute('aria-label') || one.textContent.trim(), getComputedStyle(one).outlineStyle]"
    with look(data / "report.html", width=PHONE) as seen:
        names = seen.page.evaluate("[...document.querySelectorAll('[role=region]')].map((one) => one.getAttribute('aria-label'))")
        reached = []
        while (one := focused(seen)).count() and len(reached) < 200:  # else the keyboard is caught
            reached.append(one.evaluate(about))

    assert len(names) == len(set(names)) > 10
    assert [name for name, _ in reached][:5] == ["Overview", "Month", "Consents", "Runs", "Transactions"]
    assert reached[-1][0] == "Newest transactions"
    assert {frame for _, frame in reached} == {"solid"}


def focused(seen: Seen) -> Any:
    """What the next press of Tab reaches."""
    seen.page.keyboard.press("Tab")
    return seen.page.locator("body *:focus")


def test_it_is_whole_without_javascript(data: Path, look: Any) -> None:
    with look(data / "report.html", script=False) as seen:
        assert seen.page.locator("#newest tbody tr:visible").count() == len(seen.page.locator("#newest tbody tr").all())
        assert not seen.page.locator(".search").is_visible()
        assert seen.page.locator("#account-1 svg path.line").is_visible()


def test_a_search_shows_the_rows_with_every_word(data: Path, look: Any) -> None:
    with look(data / "report.html") as seen:
        name = rows(data, "select counterparty_name from transactions where source = 'kontist' order by all limit 1")[0][0]
        seen.page.get_by_label("Search").fill(f"KONTIST {name.split()[0].upper()}")
        found = seen.page.locator("#newest tbody tr:visible").all_text_contents()
        said = seen.page.locator(".search output").text_content()

    assert 0 < len(found) < 500
    assert all("Kontist" in row and name.split()[0].lower() in row.lower() for row in found)
    assert said is not None
    assert said.startswith(f"{len(found)} of ")


def test_a_plot_names_the_balance_under_the_pointer(data: Path, look: Any) -> None:
    with look(data / "report.html") as seen:
        known = [f"{day}: {amount} PLN, {state}" for day, amount, state in seen.table("#account-1 table")]
        seen.page.locator("#account-1 svg").hover(position={"x": 200, "y": 60})

        assert seen.page.locator("#account-1 .hover").text_content() in known[50:-50]


def test_it_prints_to_a4(data: Path, look: Any) -> None:
    with look(data / "report.html") as seen:
        printed = seen.page.pdf(prefer_css_page_size=True, print_background=True)
    sizes = set(re.findall(rb"/MediaBox\s*\[([^]]*)\]", printed))

    assert {tuple(round(float(side)) for side in size.split()) for size in sizes} == {(0, 0, 595, 842)}
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) < 20
