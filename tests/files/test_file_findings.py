"""What `doctor` finds about imported files."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.questions.doctor import examine
from pipelines.questions.file_findings import look
from pipelines.questions.finding import Finding
from pipelines.settings import Settings
from tests.files.bank_files import IBAN, OTHER_IBAN, Stated, camt053, stated
from tests.files.scene import FIRST, LAST, OPENING, WORLD, D, bank, written
from tests.ledger.worlds import raw_file
from tests.questions.asked import ask


def found(folder: Path, now: datetime) -> list[Finding]:
    return list(look(Settings(data_dir=folder), lambda: now))


def test_nothing_is_said_where_no_file_was_imported(connected: Path, tmp_path: Path) -> None:
    now = datetime(2025, 4, 1, tzinfo=UTC)

    assert found(connected, now) == found(tmp_path / "empty", now) == []


def test_files_and_their_accounts_are_counted_and_one_that_was_left_behind_is_named(connected: Path) -> None:
    new = written(connected, camt053(Stated(FIRST, LAST, D(0)), iban="DE02120300000000202051"), "new.xml")
    assert ask(connected, "import", written(connected, camt053(stated(WORLD, FIRST, LAST, OPENING)))) == 0
    assert ask(connected, "import", new, "--new", "--name", "Sparkasse") == 0

    (files,) = found(connected, datetime(2025, 5, 31, tzinfo=UTC))
    assert (files.level, files.found) == ("fine", "2 files of 2 accounts, 1 of them known from files only")
    _, old = found(connected, datetime(2025, 6, 2, tzinfo=UTC))
    assert old.level == "note"
    assert "Sparkasse …2051 (file:" in old.found
    assert old.found.endswith(f"known from files only, ends on {LAST}")
    assert "DE02" not in old.found
    assert old in examine(Settings(data_dir=connected), lambda: datetime(2025, 6, 2, tzinfo=UTC))


@pytest.mark.parametrize(("others", "level"), [([], "note"), ([{"account_id": "kontist:c", "iban": IBAN}], "wrong")])
def test_an_account_that_a_bank_shows_too_is_named_with_what_ends_it(
    others: list[dict[str, object]], level: str, tmp_path: Path
) -> None:
    given = bank(balance=D(0))
    accounts = [one | {"valid_from": datetime(2025, 4, 1, tzinfo=UTC)} for one in others]
    raw_file(
        tmp_path / "raw.duckdb",
        given
        | {
            "kontist.accounts": [*given["kontist.accounts"], *accounts],
            "file.accounts": [
                {"account_id": "file:a", "iban": IBAN, "source_account_id": IBAN, "institution": "Kontist", "currency": "EUR"}
            ],
            "file.files": [{"file_id": "f-1", "account_id": "file:a"}],
        },
    )

    _, *named = found(tmp_path, datetime(2025, 4, 2, tzinfo=UTC))

    assert {one.level for one in named} == {level}
    assert all("has the number of Kontist …3000 (kontist:" in one.found and IBAN not in one.found for one in named)
    assert all(OTHER_IBAN not in one.found for one in named)
    wanted = "The next run" if level == "note" else "import --assign file:a --account kontist:"
    assert all(wanted in one.remedy for one in named)
    assert len(named) == 1 + len(others)
