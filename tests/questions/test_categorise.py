"""`categorise`: counterparties without a category become rules, in the data directory's own file."""

import csv
from pathlib import Path

import duckdb
import pytest

from pipelines.errors import GOOD, Failure, WrongUsage
from pipelines.questions.rule_lines import account_called, add_rule
from tests.ledger.worlds import raw_file
from tests.questions.asked import ask, printed_json
from transforms import seeds
from transforms.build import build

HOSTILE = '=cmd|"x",\n"; ,,y'
NAMES = (HOSTILE, "Kaffee, Kuchen & Co", ".*(a+)+$", "'; drop table x; --", "Ω\u202eevil\x1b[2J", '"')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"booked_on": "2026-03-01", "amount": "-1.00", "party": name} for name in NAMES for _ in range(2)]
    build(raw_file(tmp_path / "raw.duckdb", {"kontomatik.transactions": rows}), tmp_path / "ledger.duckdb")
    return tmp_path


def categories(folder: Path) -> dict[str, str]:
    """Builds the ledger anew with the rules; returns the account of each counterparty's movements."""
    again = folder / "again.duckdb"
    again.unlink(missing_ok=True)
    built = build(folder / "raw.duckdb", again, own_seeds=folder / "seeds")
    assert built.failed == []
    with duckdb.connect(again, read_only=True) as connection:
        return dict(connection.execute("select counterparty_name, ledger_account from transactions join postings using"
                                       " (transaction_id) where leg = 2").fetchall())  # fmt: skip


def test_a_rule_matches_its_counterparty_and_no_other_whatever_its_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(folder, "categorise", "--json") == GOOD
    listed = printed_json(capsys)["uncategorised"]
    assert {one["counterparty_name"] for one in listed} == set(NAMES) - {'"'}
    for one in listed:
        assert ask(folder, "categorise", "--counterparty", one["counterparty_id"], "--to", "groceries") == GOOD

    found = categories(folder)

    assert {name for name, account in found.items() if account == "Expenses:Groceries"} == set(NAMES) - {'"'}
    assert len((folder / "seeds" / "rules.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(listed)


def test_what_the_file_holds_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    before = "\ufeff" + ",".join(seeds.COLUMNS["rules"]) + '\r\n\r\n"mine, first",,x,,,in,Assets:Cash'
    (tmp_path / "seeds" / "rules.csv").write_bytes(before.encode())

    path = add_rule(tmp_path, '"new",,"y",,,out,Expenses:Uncategorised', "Expenses:Rent")

    assert path.read_bytes().decode() == before + "\r\nnew,,y,,,out,Expenses:Rent\r\n"
    assert [row["rule"] for seed in seeds.read(path.parent) if seed.name == "rules" for row in seed.rows] == [
        "mine, first",
        "new",
    ]


def test_a_file_that_no_ledger_could_be_built_with_is_not_written(tmp_path: Path) -> None:
    path = add_rule(tmp_path, '"new",,"y",,,out,Expenses:Uncategorised', "Expenses:Rent")
    before = path.read_bytes()

    with pytest.raises(WrongUsage, match="repeats the rule"):
        add_rule(tmp_path, '"new",,"y",,,out,Expenses:Uncategorised', "Expenses:Rent")
    with pytest.raises(WrongUsage, match=r"names an account that chart_of_accounts.csv does not have"):
        add_rule(tmp_path, '"newer",,"y",,,out,Expenses:Uncategorised', "Expenses:Nothing")
    assert path.read_bytes() == before
    assert [len(row) for row in csv.reader(before.decode().splitlines())] == [7, 7]


def test_an_account_is_named_by_its_last_part_if_only_one_has_it() -> None:
    accounts = ["Expenses:Interest", "Expenses:Rent", "Income:Interest"]

    assert account_called(" rent ", accounts) == "Expenses:Rent"
    assert account_called("income:interest", accounts) == "Income:Interest"
    with pytest.raises(WrongUsage, match="Several accounts"):
        account_called("interest", accounts)
    with pytest.raises(WrongUsage, match="no such account"):
        account_called("ent", accounts)


def test_at_a_terminal_it_asks_one_after_the_other(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["", "nothing", "travel", "q"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: next(typed))

    assert ask(folder, "categorise") == GOOD
    said = capsys.readouterr().out
    assert "1 rule written. `python -m pipelines transform` applies the new rules." in said
    assert "\n2 movements without a category: no counterparty that a rule could match." in said
    assert "\x1b[2J" not in said
    assert list(categories(folder).values()).count("Expenses:Travel") == 1


RULE = '"new",,"y",,,out,Expenses:Uncategorised'


def test_the_file_behind_a_link_is_changed_and_keeps_its_rights(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    mine = tmp_path / "mine.csv"
    mine.write_text(",".join(seeds.COLUMNS["rules"]))
    mine.chmod(0o664)
    (tmp_path / "seeds" / "rules.csv").symlink_to(mine)

    path = add_rule(tmp_path, RULE, "Expenses:Rent")

    assert path.is_symlink()
    assert mine.read_text().endswith("\nnew,,y,,,out,Expenses:Rent\n")
    assert mine.stat().st_mode & 0o777 == 0o664


def test_a_file_that_cannot_be_changed_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "seeds" / "rules.csv"
    path.parent.mkdir()
    path.write_bytes(b"M\xfcller")
    with pytest.raises(WrongUsage, match=r"rules\.csv is no UTF-8 text\. Save it in UTF-8"):
        add_rule(tmp_path, RULE, "Expenses:Rent")

    path.write_text(",".join(seeds.COLUMNS["rules"]))
    before = path.read_bytes()
    with monkeypatch.context() as patched, pytest.raises(Failure, match=r"rules\.csv cannot be changed \(Permission denied\)"):
        patched.setattr("os.access", lambda *_, **__: False)
        add_rule(tmp_path, RULE, "Expenses:Rent")
    assert path.read_bytes() == before

    path.unlink()
    path.mkdir()
    with pytest.raises(Failure, match=r"cannot be changed \(Is a directory\)"):
        add_rule(tmp_path, RULE, "Expenses:Rent")


def test_a_link_to_nowhere_beside_the_rules_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "old.csv").symlink_to(tmp_path / "nowhere")

    assert add_rule(tmp_path, RULE, "Expenses:Rent").read_text(encoding="utf-8").endswith("Expenses:Rent\n")
