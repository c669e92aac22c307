"""`export --format datev`: fiscal years, days that are not complete, the settings and the accounts of the adviser's books."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import Failure, WrongUsage
from pipelines.questions import datev_format
from pipelines.questions.datev_accounts import books_and_chart
from tests.questions.asked import ask, data_dir
from tests.questions.datev_reader import Batch, read
from tests.questions.datev_worlds import COMPLETE, IBAN, MARCH, SETTINGS, SHIPPED, exported, kontist, march, with_seeds


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_dir(with_seeds(tmp_path_factory.mktemp("books")), COMPLETE)


@pytest.fixture
def folder(books: Path) -> Iterator[Path]:
    """The data directory of March; what a test changes in its seeds is taken back."""
    yield books
    for seed in (books / "seeds").iterdir():
        seed.unlink()
    with_seeds(books)


# ---- Days


def test_days_that_are_not_complete_are_refused_unless_the_batch_says_so_in_its_name(
    folder: Path, tmp_path: Path, capsys: Any
) -> None:
    days = ("--from", "2026-03-01", "--to", "2026-04-01", "--account", IBAN)
    with pytest.raises(Failure, match=r"Not complete: Kontist .*3000 EUR, 2026-03-01 to 2026-04-01 \(2026-04-01: read last at"):
        exported(folder, tmp_path / "out", days=days)
    assert not (tmp_path / "out").exists()

    with_seeds(folder, settings=SETTINGS + "datev_festschreibung,1\n")
    batch = exported(folder, tmp_path / "out", "--allow-incomplete", days=days)
    assert batch.label == "UNVOLLSTAENDIG 01.03./01.04.26"
    assert not batch.is_locked
    assert "is incomplete: 2026-04-01: read last at" in capsys.readouterr().out
    assert exported(folder, tmp_path / "complete").is_locked


def test_each_fiscal_year_has_a_file_and_each_month_if_it_is_asked_for(tmp_path: Path) -> None:
    rows = [kontist(number, date(2025, 12, 30) + timedelta(days=number), -100) for number in range(4)]
    given = COMPLETE | {
        "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": -400}],
        "kontist.transactions": rows,
    }
    folder = data_dir(with_seeds(tmp_path / "books"), given)
    days = ("--from", "2025-12-30", "--to", "2026-01-31", "--format", "datev")

    def files_of(name: str, *more: str) -> dict[str, Batch]:
        assert ask(folder, "export", *days, "--out", str(tmp_path / name), *more) == 0
        return {path.name.removeprefix("EXTF_Buchungsstapel_"): read(path) for path in (tmp_path / name).iterdir()}

    by_year = files_of("years")
    assert {name: [line.day for line in batch.lines] for name, batch in by_year.items()} == {
        "20251230_20251231.csv": [date(2025, 12, 30), date(2025, 12, 31)],
        "20260101_20260131.csv": [date(2026, 1, 1), date(2026, 1, 2)],
    }
    with_seeds(folder, settings=SETTINGS + "fiscal_year_start_month,7\n")
    # a fiscal year is cut at New Year's Day: an import takes no batch of two calendar years
    july = files_of("july")
    assert {name: (batch.fiscal_year, len(batch.lines)) for name, batch in july.items()} == {
        "20251230_20251231.csv": (date(2025, 7, 1), 2),
        "20260101_20260131.csv": (date(2025, 7, 1), 2),
    }
    assert {name: batch.fiscal_year for name, batch in files_of("months", "--per", "month").items()} == {
        "20251230_20251231.csv": date(2025, 7, 1),
        "20260101_20260131.csv": date(2025, 7, 1),
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--format", "datev"), "Give --from and --to"),
        (("--format", "datev", "--from", "2026-03-01"), "Give --from and --to"),
        (("--format", "datev", "--from", "2026-03-02", "--to", "2026-03-01"), "--to is before --from"),
        (("--format", "datev", *MARCH, "--per", "day"), "--per month"),
        (("--format", "datev", "--from", "0001-01-01", "--to", "2026-03-31"), "days of the years 2000 to 2099"),
        (("--format", "datev", "--from", "2026-03-01", "--to", "9999-12-31"), "days of the years 2000 to 2099"),
        (("--format", "camt053", "--skr", "03"), "give --format datev"),
    ],
)
def test_days_and_options_that_no_batch_can_have_are_refused(arguments: tuple[str, ...], complaint: str, folder: Path) -> None:
    with pytest.raises(WrongUsage, match=complaint):
        ask(folder, "export", *arguments)


# ---- Settings and accounts of the books


def test_missing_numbers_of_adviser_and_client_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"needs datev_client_number, the client's number there .*settings\.csv"):
        exported(with_seeds(folder, settings="name,value\ndatev_consultant_number,29098\n"), tmp_path)
    with pytest.raises(WrongUsage, match=r"needs datev_consultant_number, .* and datev_client_number"):
        exported(with_seeds(folder, settings="name,value\nreporting_currency,EUR\n"), tmp_path)


def test_longer_account_numbers_have_zeros_behind_and_others_are_refused(folder: Path, tmp_path: Path) -> None:
    longer = with_seeds(folder, settings=SETTINGS + "datev_account_length,6\ndatev_skr,04\n")
    batch = exported(longer, tmp_path / "six")
    assert (batch.skr, batch.account_length) == ("04", 6)
    assert set(batch.sums()) >= {"180000", "440000", "630000", "137000"}

    row = "Income:Sales,in,any,10001,70001,\n"
    with_seeds(folder, skr=(SHIPPED / "skr.csv").read_text() + row)
    (line, *_) = exported(folder, tmp_path / "customer").lines
    assert line.counter_account == "8400"  # a row for a code of VAT goes before one for all
    with pytest.raises(WrongUsage, match=r"Row \d+ of skr.csv has a number of 5 digits for SKR04; datev_account_length is 6"):
        exported(with_seeds(folder, settings=SETTINGS + "datev_account_length,6\n"), tmp_path / "five", "--skr", "04")


def test_an_amount_or_a_number_of_postings_that_a_batch_cannot_hold_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    given = COMPLETE | {
        "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": 10**12}],
        "kontist.transactions": [kontist(1, march(9), 10**12)],
    }
    folder = data_dir(with_seeds(tmp_path / "books"), given)
    with pytest.raises(Failure, match="more than ten digits before the comma"):
        exported(folder, tmp_path / "out")
    monkeypatch.setattr(datev_format, "LONGEST_BATCH", 0)
    with pytest.raises(Failure, match=r"1 postings from 2026-03-01 to 2026-03-31: a batch holds 0\. Give --per month"):
        exported(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failure_in_the_second_file_leaves_the_files_that_were_there(tmp_path: Path, monkeypatch: Any) -> None:
    given = COMPLETE | {
        "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": -300}],
        "kontist.transactions": [kontist(number, date(2026, number, 9), -100) for number in (1, 2, 3)],
    }
    folder, out = data_dir(with_seeds(tmp_path / "books"), given), tmp_path / "out"
    arguments = ("export", "--format", "datev", "--from", "2026-01-01", "--to", "2026-03-31", "--per", "month", "--out", str(out))
    assert ask(folder, *arguments) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    with_seeds(folder, settings=SETTINGS + "datev_skr,04\n")
    other = tmp_path / "other"
    (other / "EXTF_Buchungsstapel_20260201_20260228.csv").mkdir(parents=True)
    with pytest.raises(Failure, match=r"20260228\.csv is a folder"):
        ask(folder, *arguments[:-1], str(other))
    assert len(list(other.iterdir())) == 1

    written = datev_format.posting

    def refusing(one: datev_format.Posting, *, is_locked: bool) -> str:
        if one.day.month == 3:
            raise OSError(28, "No space left on device")
        return written(one, is_locked=is_locked)

    monkeypatch.setattr(datev_format, "posting", refusing)
    with pytest.raises(Failure, match="cannot be written"):
        ask(folder, *arguments)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert len(before) == 3

    monkeypatch.setattr(datev_format, "posting", written)
    assert ask(folder, *arguments) == 0
    assert all(path.read_bytes() != before[path.name] for path in out.iterdir())


@pytest.mark.parametrize(
    ("row", "length", "complaint"),
    [
        ("Income:Sales,out,VAT_19,8400,4400,3", "4", r"Row \d+ of skr.csv gives the key 3 to 8400"),
        ("Expenses:Business,in,ACQUISITION_7,342000,542000,8", "6", r"gives the key 8 to 342000, which computes the tax itself"),
        ("Income:Sales,out,VAT_19,8400,4400,40", "4", None),  # lifts the automatic
        ("Income:Sales,out,VAT_19,8200,4400,3", "4", None),  # an automatic account of the other chart
        ("Income:Sales,out,VAT_19,840001,440001,3", "6", None),  # a number of the client's own
    ],
)
def test_a_key_on_an_account_that_computes_the_tax_itself_is_refused(
    row: str, length: str, complaint: str | None, tmp_path: Path
) -> None:
    settings = SETTINGS + f"datev_account_length,{length}\n"
    own = with_seeds(tmp_path, settings=settings, skr=(SHIPPED / "skr.csv").read_text() + f"{row}\n") / "seeds"
    if complaint:
        with pytest.raises(WrongUsage, match=complaint):
            books_and_chart(own, None)
    else:
        books_and_chart(own, None)


def test_half_a_year_of_lowered_rates_takes_the_keys_of_the_common_ones(tmp_path: Path) -> None:
    _, chart = books_and_chart(with_seeds(tmp_path) / "seeds", None)

    def counter(vat: str, day: date) -> str:
        return chart.counter("Expenses:Business", "out", vat, day).bu_key

    assert [counter(vat, date(2020, 12, 31)) for vat in ("VAT_16", "VAT_5", "VAT_19", "VAT_7", "VAT_0")] == ["9", "8", "", "", ""]
    assert [counter(vat, date(2021, 1, 1)) for vat in ("VAT_16", "VAT_5", "VAT_19", "VAT_7", "VAT_0")] == ["", "", "9", "8", ""]
    assert chart.counter("Expenses:Business", "out", "VAT_19", date(2020, 7, 1)).number == "1590"
