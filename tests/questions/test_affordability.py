"""`affordability`: what a lender asks about, compared with what the sandbox's world knows, to the cent."""

import json
import stat
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import WrongUsage
from pipelines.read.options import Options
from pipelines.store.leftovers import remove_exports
from sources.sandbox import World
from tests.questions.asked import ask, printed_json
from tests.support import AUTUMN, a_bank, account_id, read, troubled

PARTIES = {"Vzorová firma s.r.o.": "salary", "Vzorový dům": "rent", "TIPICO Test": "gambling", "Banka Vzor": "loan"}
"""Who pays, or is paid, for what at the Czech account: nothing else there has a kind but cash."""
AS_OF = AUTUMN
"""Reads end at the time of this machine: the world's last day is over then."""


@pytest.fixture(scope="module")
def world() -> World:
    """A life of eight weeks with bets, cash and an instalment at the Czech account."""
    made = World(today=AUTUMN)
    (czech,) = [one for one in made.accounts if one.plan.currency == "CZK"]
    for day, amount, party, about in (
        (date(2024, 9, 20), "-777.70", "TIPICO Test", "TIPICO 1"),
        (date(2024, 10, 3), "-2500.00", "Banka Vzor", "Splátka úvěru 1"),
        (date(2024, 10, 4), "90000.00", "Banka Vzor", "Úvěr"),
    ):
        made.append(czech, amount=amount, day=day, party=party, description=about)
    made.append(czech, amount="-3000.00", day=date(2024, 10, 7), party=None, description="Výběr", kind="WYPŁATA GOTÓWKI")
    return made


@pytest.fixture(scope="module")
def data(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What one run reads of it."""
    folder = tmp_path_factory.mktemp("lent")
    with a_bank(world, dialect="live") as bank:
        assert troubled(read(bank, folder, Options())) == []
    yield folder


def asked(data: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, Any]]:
    """The owners that the command shows."""
    assert ask(data, "affordability", "--json", *more) == 0
    listed: list[dict[str, Any]] = printed_json(capsys)["affordability"]
    return listed


def money(cents: Decimal | int) -> str:
    return str((Decimal(cents) / 100).quantize(Decimal("0.01"), ROUND_HALF_UP))


def test_the_figures_are_those_of_the_world(world: World, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (czech,) = [one for one in world.accounts if one.plan.currency == "CZK"]
    booked = [row for row in czech.transactions if row.booked_on is not None]
    known = [row for row in booked if row.booked_on is not None and row.booked_on <= AS_OF]

    def total(kind: str, first: date = date.min, last: date = AS_OF, sign: int = 0) -> int:
        return sum(
            row.cents
            for row in known
            if row.booked_on is not None
            and first <= row.booked_on <= last
            and row.cents * sign >= 0
            and kind == (PARTIES.get(row.party or "") or ("cash" if row.kind == "WYPŁATA GOTÓWKI" else "other"))
        )

    spent = sum(row.cents for row in known if row.cents < 0)
    first = min(row.booked_on for row in booked if row.booked_on is not None)
    closings = [
        czech.balance_cents - sum(row.cents for row in booked if row.booked_on is not None and row.booked_on > day)
        for day in (first + timedelta(days=number) for number in range((AS_OF - first).days + 1))
    ]

    (found,) = [
        one for owner in asked(data, capsys) for one in owner["holders"] if one["account_ids"] == [account_id(data, czech)]
    ]

    assert found["as_of"] == str(AS_OF)
    assert found["income_this_month"] == money(total("salary", date(2024, 10, 1)))
    assert found["income_last_month"] == money(total("salary", date(2024, 9, 1), date(2024, 9, 30)))
    assert found["income"] == money(total("salary")) != "0.00"
    assert found["income_30_days"] == money(Decimal(total("salary")) / 3)
    assert found["rent"] == found["fixed_costs"] == money(total("rent")) != "0.00"
    assert found["loan_instalments"] == money(total("loan", sign=-1)) == "-2500.00"
    assert found["gambling"] == money(total("gambling")) == "-777.70"
    assert found["cash"] == money(total("cash")) == "-3000.00"
    assert found["spending"] == money(spent)
    assert found["gambling_share"] == str((Decimal(total("gambling")) / spent).quantize(Decimal("0.0001"), ROUND_HALF_UP))
    assert found["cash_share"] == str((Decimal(total("cash")) / spent).quantize(Decimal("0.0001"), ROUND_HALF_UP))
    assert found["balance_days"] == len(closings)
    assert found["minimum_balance"] == money(min(closings))
    assert found["average_balance"] == money(Decimal(sum(closings)) / len(closings))
    assert found["days_below_zero"] == sum(one < 0 for one in closings)


def test_every_sum_is_that_of_the_transactions_behind_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    holders = [one for owner in asked(data, capsys) for one in owner["holders"]]
    assert {one["holder_id"].count("+") for one in holders} == {0, 1}, "one account of the world is shared"
    for one in holders:
        paid = {row["transaction_id"]: row for row in one["transactions"]}
        for column, behind in one["behind"].items():
            amount = sum((Decimal(paid[key]["amount"]) for key in behind), Decimal(0))
            if column == "regular_income":
                months = one["whole_months"]
                amount = (amount / months).quantize(Decimal("0.01"), ROUND_HALF_UP) if months else Decimal(0)
            assert Decimal(one[column] or 0) == amount, (one["holder_id"], column)
            if f"unproven_{column}" in one and column != "regular_income":
                unproven = sum((Decimal(paid[key]["amount"]) for key in behind if not paid[key]["is_proven"]), Decimal(0))
                assert Decimal(one[f"unproven_{column}"]) == unproven


def test_an_account_belongs_to_one_holder_of_a_currency(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    holders = {(one["holder_id"], one["currency"]): one for owner in asked(data, capsys) for one in owner["holders"]}
    accounts = [account for one in holders.values() for account in one["account_ids"]]

    assert len(accounts) == len(set(accounts)) == 8


def test_prove_gives_the_same_certificate_and_the_same_days(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for owner in asked(data, capsys):
        for one in owner["holders"]:
            assert sum(proof["reconciled_days"] for proof in one["certificates"]) == one["days_proven"]
            assert sum(proof["days"] for proof in one["certificates"]) == one["days_expected"]
    proof = one["certificates"][0]
    ask(data, "prove", proof["account_id"], "--from", proof["from"], "--to", proof["to"], "--json")

    assert printed_json(capsys)["certificate_id"] == proof["certificate_id"]


def test_each_owner_has_a_page_and_its_numbers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    owners = asked(data, capsys)
    assert ask(data, "affordability") == 0
    shown = capsys.readouterr().out
    for owner in owners:
        page = data / "export" / f"affordability-{owner['owner_id'].replace(':', '-')}.html"
        text = page.read_text(encoding="utf-8")
        beside = page.with_suffix(".json").read_text(encoding="utf-8")

        assert str(page) in shown
        assert stat.S_IMODE(page.stat().st_mode) == stat.S_IMODE(page.with_suffix(".json").stat().st_mode) == 0o600
        assert beside.startswith('{"affordability": ')
        assert json.loads(beside)["affordability"] == owner
        for one in owner["holders"]:
            assert all(proof["certificate_id"] in text for proof in one["certificates"])
            assert all(row["transaction_id"] in text for row in one["transactions"][:300])
            assert ("not proven" in text) >= any(not row["is_proven"] for row in one["transactions"][:300])
    assert remove_exports(data) >= 2 * len(owners), "an erasure removes them"
    assert list((data / "export").iterdir()) == []


def test_a_file_of_somebody_else_stays(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    owner = asked(data, capsys)[0]["owner_id"]
    (tmp_path / "figures.json").write_text('{"mine": 1}')

    with pytest.raises(WrongUsage, match="no file of this command"):
        ask(data, "affordability", "--owner", owner, "--out", str(tmp_path / "figures.html"))
    with pytest.raises(WrongUsage, match="--out names one file"):
        ask(data, "affordability", "--out", str(tmp_path / "page.html"))
    with pytest.raises(WrongUsage, match="No owner with figures"):
        ask(data, "affordability", "--owner", "nobody")

    assert [one.name for one in tmp_path.iterdir()] == ["figures.json"]
    assert ask(data, "affordability", "--owner", owner, "--out", str(tmp_path / "page.html"), "--json") == 0
    assert printed_json(capsys)["files"] == [str(tmp_path / "page.html"), str(tmp_path / "page.json")]
