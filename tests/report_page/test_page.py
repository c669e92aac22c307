"""What the page says of ledgers that no sandbox has, and what it costs."""

import json
import os
import re
import shutil
import time
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.commands.cli import parser
from pipelines.commands.report_page import report
from pipelines.errors import Failure, WrongUsage
from pipelines.report_page import rendering, wording
from pipelines.report_page.page_options import PageOptions, wanted_page
from pipelines.report_page.plots import Point, line_plot
from pipelines.report_page.reconciliation import Uncategorised
from pipelines.settings import Settings
from pipelines.store import ledger, published_page
from pipelines.store.lock import held
from tests.patience import patient
from tests.report_page.test_words import AMOUNTS
from tests.support import MANY
from transforms import build

LATEST = '<span class="name">{}</span>\n    <span class="now num">'


def cells(page: str, name: str) -> list[list[str]]:
    """The cells of one table of the page."""
    table = re.search(rf'<table id="{name}">.*?</table>', page, re.DOTALL)
    assert table is not None, name
    body = table[0].partition("<tbody>")[2]
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in body.split("</tr>")[:-1]]


@given(st.lists(AMOUNTS, min_size=1, max_size=8))
def test_a_plot_of_any_balances_stays_in_its_frame(amounts: list[Decimal]) -> None:
    points = [Point(date(2026, 1, 1) + timedelta(days=day * 40), amount) for day, amount in enumerate(amounts)]
    plot = line_plot(points)
    heights = [Decimal(height) for height in re.findall(r"[V ](-?[\d.]+)", plot.line)]

    assert all(8 <= height <= 118 for height in heights)
    assert len({tick.label for tick in plot.y_ticks}) == len(plot.y_ticks) <= 8
    assert (heights[-1] > Decimal(plot.zero)) == (amounts[-1] < 0) or abs(heights[-1] - Decimal(plot.zero)) <= Decimal("0.1")


# ---- ledgers


def test_an_empty_ledger_says_so(empty_raw: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.duckdb").write_bytes(empty_raw.read_bytes())
    published = ledger.build_and_publish(tmp_path, page=PageOptions())
    page = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert (published.page, published.notices) == (tmp_path / "report.html", [])
    assert "0 accounts, 0 transactions" in page
    assert "No bank was read yet." in page
    assert "Every account was read" not in page


def test_currencies_are_added_up_only_where_the_ledger_does(draw: Any) -> None:
    without = draw()
    page = draw("update net_worth_daily set total_reporting_balance = 12345.67 where day > (select max(day) - 30 from coverage)")
    sums = dict(draw.rows("select currency, sum(balance) from accounts group by all having count(*) > 1"))

    assert "Everything in EUR" not in without
    assert "a rate of the last day is missing" in without
    assert "a rate of the last day is missing" not in page
    assert f"{LATEST.format('Everything in EUR')}12,345.67 EUR" in page
    assert set(sums) == {"EUR", "PLN"}
    for currency, amount in sums.items():
        assert f"{LATEST.format(f'All accounts in {currency}')}{wording.money(amount)} {currency}" in page


def test_counterparties_of_one_name_are_told_apart_by_their_numbers(draw: Any) -> None:
    page = draw("update counterparties set name = 'Same name' where iban is not null")
    shown = re.findall(r">Same name([^<]*)</th>", page.partition('id="month"')[0])

    assert len(shown) > 2
    assert all(re.fullmatch(r" …\d{4}", end) for end in shown)


def test_every_payment_without_a_category_is_listed_also_where_the_bank_names_nobody(draw: Any) -> None:
    shown = cells(draw(), "uncategorised")
    ((number,),) = draw.rows("select count(*) from postings where leg = 2 and ledger_account like '%:Uncategorised'")
    (fees,) = [row for row in shown if row[0].startswith("Poplatek")]

    assert sum(int(row[1]) for row in shown) == number
    assert fees[5] == "<code>Poplatek,,,,Poplatek,out,Expenses:Uncategorised</code>"


def test_a_consent_names_its_bank_and_the_number_of_its_accounts(draw: Any) -> None:
    page = draw()
    ((number,),) = draw.rows("select count(distinct account_id) from imports where consent_id is not null")

    assert [row[7] for row in cells(page, "consent-list")] == [str(number)]
    assert ">KontoBank: active</text>" in page


def test_the_label_of_a_consent_is_cut_after_account_numbers_are(draw: Any) -> None:
    page = draw("update consents set institution = 'A bank of old DE90999999990000004711'")

    assert ">A bank of old …4711: active</text>" in page
    assert "DE90" not in page


def test_an_account_of_25_years_with_ten_trillion_is_drawn(draw: Any) -> None:
    page = draw(
        "create temp table one as select account_id, min(day) as day from balances_daily group by all order by all limit 1",
        "update balances_daily set closing_balance = 9999999999999999.99 where account_id = (from one select account_id)",
        "insert into balances_daily by name select account_id, one.day - cast(ago as integer) as day, 'EUR' as currency,"
        " ago::decimal(18, 2) as closing_balance, 'derived' as proof from one, range(1, 9000) as days (ago)",
        "insert into coverage by name select account_id, one.day - cast(ago as integer) as day, 'unseen' as status,"
        " 'derived' as proof from one, range(1, 9000) as days (ago)",
    )

    assert "9,999,999,999,999,999.99" in page
    assert ">2005</text>" in page
    assert len(page) < 1_000_000


def test_one_account_of_one_day_is_drawn(draw: Any) -> None:
    ((account_id,),) = draw.rows("select account_id from accounts where display_name like 'Kontist%4712%'")
    last = f"delete from {{}} where account_id = '{account_id}' and day < (select max(day) from coverage)"
    page = draw(*(last.format(table) for table in ("balances_daily", "coverage")), account_id=account_id)

    assert "1 account," in page
    assert page.count('<figure class="panel') == 3
    assert [row[5] for row in cells(page, "accounts")] == ["1"]


def test_a_page_of_a_month_and_an_account_shows_nothing_else(draw: Any) -> None:
    ((account_id, month),) = draw.rows(
        "select account_id, cast(date_trunc('month', booked_on) as date) from transactions"
        " where source = 'kontist' order by booked_on limit 1"
    )
    page = draw(account_id=account_id, month=month)
    shown = draw.rows(
        "select count(*) from transactions where account_id = $account and date_trunc('month', booked_on) = $month".replace(
            "$account", f"'{account_id}'"
        ).replace("$month", f"'{month}'")
    )

    assert len(cells(page, "newest")) == shown[0][0]
    assert f"The newest {shown[0][0]} of {shown[0][0]} in " in page
    assert "KontoBank account" not in page


def test_a_month_at_the_end_of_time_has_no_days(draw: Any) -> None:
    assert "No day of Dec 9999 is known" in draw(month=date(9999, 12, 1))


def test_what_is_wrong_stands_at_the_top(draw: Any) -> None:
    page = draw(
        "update coverage set status = 'hole' where day = (select max(day) - 3 from coverage)",
        "update imports set status = 'failed', reason = 'the bank is away' where source = 'kontist'",
        "update consents set days_left = 3",
    )
    top = page.partition("<main>")[0]

    assert "could not be read: the bank is away" in top
    assert "1 day that no import covers" in top
    assert "ends in 3 days" in top
    assert "Every account was read" not in top


def test_runs_that_did_not_come_to_their_end_are_listed_and_marked(draw: Any) -> None:
    ((first, last),) = draw.rows("select min_by(run_id, run_id), max_by(run_id, run_id) from runs")
    nothing = "load_seconds = null, transform_seconds = null, total_seconds = null, stale_accounts = null"
    page = draw(
        f"update runs set status = 'killed', checks_passed = null, extract_seconds = 75, {nothing} where run_id = '{first}'",
        "update runs set status = 'checks_failed', checks_passed = 8, checks_failed = 2, failed = 1, quarantined_rows = 3,"
        f" open_accounts = 8, stale_accounts = 2 where run_id = '{last}'",
    )
    shown = {row[-1]: row for row in cells(page, "run-list")}

    assert shown[first][1:6] == ["killed", "75.0 s", "–", "–", "–"]
    assert shown[first][11] == "–"
    assert shown[last][1] == "checks failed"
    assert shown[last][9::2] == ["3", "2 of 10 failed", last]
    assert shown[last][12] == "8 of 8 read, 1 failed, 2 stale"
    assert ", killed: extract 75.0 s</title>" in page
    assert page.count('<rect class="bar extract troubled"') == 2


def test_a_run_that_read_nothing_hides_no_problem_of_the_one_before(draw: Any) -> None:
    page = draw(
        "update imports set status = 'failed', reason = 'the bank is away' where source = 'kontist'",
        "insert into runs by name select 'r-later' as run_id, max(started_at) + interval 1 hour as started_at,"
        " 'killed' as status, 0 as accounts, 0 as failed, 0 as held, 0 as skipped, 0 as new_rows,"
        " 0 as changed_rows, 0 as removed_rows, 0 as requests from runs",
    )

    assert "could not be read: the bank is away" in page.partition("<main>")[0]
    assert cells(page, "run-list")[0][1] == "killed"


def test_the_same_ledger_gives_the_same_page(draw: Any) -> None:
    assert draw() == draw()


def test_100_000_transactions_make_a_small_page_soon(draw: Any) -> None:
    ((account_id,),) = draw.rows("select min(account_id) from accounts")
    many = (
        f"insert into transactions by name select 'many' || n as transaction_id, '{account_id}' as account_id,"
        " 'kontist' as source, 'booked' as status,"
        " date '2010-01-01' + cast(n // 20 as integer) as booked_on, 1.5 as amount, 'EUR' as currency,"
        " 'c' || n % 5000 as counterparty_id, 'Name ' || n as counterparty_name, repeat('long text ', 50) as description"
        " from range(100000) as numbers (n)"
    )
    legs = (
        "insert into postings by name select transaction_id, 2 as leg, account_id, booked_on, -amount as amount, currency,"
        " 'Income:Uncategorised' as ledger_account from transactions where starts_with(transaction_id, 'many')"
    )
    draw(many, legs)
    began = time.process_time()
    with duckdb.connect(draw.copy, read_only=True) as connection:
        page = rendering.render(connection, PageOptions())

    assert len(page.encode()) < 2_000_000
    assert time.process_time() - began < patient(4)
    assert "100," in page.partition("</h1>")[0]


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("Müller, Söhne", '"Müller, Söhne",,"Müller, Söhne",,,out,'),
        ("=HYPERLINK(1)", "HYPERLINK(1),,HYPERLINK(1),,,out,"),
        ("x" * 300, None),
        ("Card 4999 1234 5678 0042", None),
        ("a\nb", None),
        ("===", None),
    ],
)
def test_a_rule_is_offered_where_it_would_match(name: str, begins: str | None) -> None:
    one = Uncategorised(
        name=name, direction="out", currency="EUR", amount=Decimal(1), transactions=1, last_on=date(2026, 1, 1), of=1
    )

    assert one.rule == (begins and f"{begins}Expenses:Uncategorised")


# ---- the command


def ask(data_dir: Path, *more: str) -> int:
    """Runs `report`."""
    return report(parser().parse_args(["--data-dir", str(data_dir), "report", *more]))


def test_report_draws_the_published_page_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__KONTOMATIK__IMPORTS_PER_DAY", str(MANY))
    page = tmp_path / "for the accountant.html"
    assert ask(data, "--out", str(page), "--json") == 0

    assert json.loads(capsys.readouterr().out) == {"report": str(page)}
    assert page.read_bytes() == (data / "report.html").read_bytes()
    assert page.stat().st_mode & 0o077 == 0


def test_a_page_of_a_part_does_not_replace_the_whole_one(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (data / "report.html").read_bytes()
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert ask(data, "--month", "2026-01", "--account", "4711", "--open") == 0
    (page,) = (data / "export").glob("report-2026-01-kontist-*.html")

    assert opened == [page.as_uri()]
    assert "Month: Jan 2026" in page.read_text(encoding="utf-8")
    assert (data / "report.html").read_bytes() == before


def test_the_page_of_a_run_that_publishes_meanwhile_wins(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ledger.duckdb", "report.html"):
        shutil.copyfile(data / name, tmp_path / name)
    render, drawn = rendering.render, []

    def meanwhile(connection: duckdb.DuckDBPyConnection, options: PageOptions) -> str:
        drawn.append(render(connection, options))
        if len(drawn) == 1:
            shutil.copyfile(data / "ledger.duckdb", tmp_path / "ledger.new.duckdb")
            (tmp_path / "ledger.new.duckdb").replace(tmp_path / "ledger.duckdb")
            (tmp_path / "report.html.new").write_text("of the next run")
            return "of the ledger before"
        return drawn[-1]

    monkeypatch.setattr(rendering, "render", meanwhile)
    assert ask(tmp_path) == 0

    assert (tmp_path / "report.html").read_text(encoding="utf-8") == drawn[1]
    assert (tmp_path / "report.html.new").read_text() == "of the next run"


def test_what_a_killed_report_has_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    mine, dead = (tmp_path / f"report.html.{pid}.new" for pid in (os.getpid(), 2**30))
    for page in (mine, dead):
        page.touch()
    with held(tmp_path, "run"):
        assert list(tmp_path.glob("report*")) == [mine]


def test_a_page_that_cannot_be_written_names_the_way_out(data: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"is a folder\. Name a file with --out"):
        ask(data, "--out", str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match=r"cannot be written .*Name another file with --out"):
        ask(data, "--out", str(tmp_path / "file" / "page.html"))
    with pytest.raises(SystemExit):
        ask(data, "--month", "2026-13")


# ---- publishing


def test_a_page_that_cannot_be_drawn_costs_nobody_a_ledger(
    empty_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise KeyError("a name that nobody should read in a log")

    (tmp_path / "raw.duckdb").write_bytes(empty_raw.read_bytes())
    (tmp_path / "report.html").write_text("of the ledger before")
    monkeypatch.setattr(rendering, "render", broken)
    published = ledger.build_and_publish(tmp_path, page=PageOptions())

    assert (published.path.exists(), published.page) == (True, None)
    assert published.notices == ["The page report.html could not be drawn (KeyError); the ledger is published without it"]
    assert not list(tmp_path.glob("report*"))


def test_a_page_keeps_its_readers_and_goes_with_the_setting(data: Path, tmp_path: Path) -> None:
    copied = tmp_path / "ledger.duckdb"
    shutil.copyfile(data / "ledger.duckdb", copied)
    (tmp_path / "report.html").touch(0o640)
    assert published_page.draw(copied, wanted_page(Settings()), memory="256MiB") is None
    assert published_page.put(copied) == tmp_path / "report.html"
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o640

    assert published_page.draw(copied, wanted_page(Settings(report=False)), memory="256MiB") is None
    assert published_page.put(copied) is None
    assert not list(tmp_path.glob("report*"))


def test_a_ledger_that_is_refused_keeps_its_page(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("raw.duckdb", "ledger.duckdb", "report.html"):
        shutil.copyfile(data / name, tmp_path / name)
    before = (tmp_path / "report.html").read_bytes()
    failed = ledger.CheckResult("a check", "it fails", 1)
    monkeypatch.setattr(build, "run_checks", lambda *_, **__: [failed])
    with pytest.raises(ledger.LedgerRefused):
        ledger.build_and_publish(tmp_path, page=PageOptions())

    assert (tmp_path / "report.html").read_bytes() == before
    assert not (tmp_path / "report.html.new").exists()
