"""An erasure reaches every file of the data directory, and says which copies it cannot know."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.commands.cli import parser
from pipelines.commands.questions import export
from tests.consents.killing import environment
from tests.consents.test_erasing import a_consent, erase
from tests.questions.asked import ask


def test_after_an_erasure_no_file_of_the_data_directory_names_its_person(
    new_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_consent(new_folder(), "live") as (bank, settings, own):
        folder = settings.data_dir
        with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
            known = connection.execute("select iban, owners.name from accounts, owners").fetchall()
        texts = {text for row in known for text in row if text}
        secrets = [text.encode() for text in texts]
        assert len(secrets) >= 2
        for form in ("csv", "beancount"):
            assert export(parser().parse_args(["--data-dir", str(folder), "export", "--format", form])) == 0
        (folder / "query.history").write_text(f"from accounts where owner_name in {tuple(texts)};\n")
        (folder / "export" / f"ledger.xlsx.{2**22 + 1}.new").write_text(str(texts))

        assert {"ledger.duckdb", "raw.duckdb", "report.html", "accounts.csv", "ledger.beancount"} <= holding(folder, secrets)
        assert erase(bank, settings, monkeypatch, own.consent_id, "--yes") == 0

        assert holding(folder, secrets) == set()
        receipt = (folder / "receipts" / f"erased-{own.consent_id}.txt").read_text()
        assert "exported files in export/ were removed" in receipt
        assert "copies in other places (exports with --out, backups, BI tools) are not known here" in receipt


def holding(folder: Path, secrets: list[bytes]) -> set[str]:
    """The names of the files that hold one of these."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name for path in files if any(secret in path.read_bytes() for secret in secrets)}


def test_a_restore_of_an_older_backup_does_not_bring_back_what_was_erased(
    new_folder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_consent(new_folder()) as (bank, settings, own):
        folder = settings.data_dir
        with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
            secrets = [iban.encode() for (iban,) in connection.execute("select iban from accounts").fetchall()]
        kept = folder.with_name(f"{folder.name}-kept")
        for name, value in environment(bank, folder).items():
            monkeypatch.setenv(name, value)
        assert ask(folder, "backup", str(kept)) == 0
        assert ask(folder, "restore", str(kept), "--yes") == 0
        assert "erased" not in capsys.readouterr().out
        assert "raw.duckdb" in holding(folder, secrets)
        assert erase(bank, settings, monkeypatch, own.consent_id, "--yes") == 0

        assert ask(folder, "restore", str(kept), "--yes") == 0

        assert holding(folder, secrets) == set()
        assert f"consent {own.consent_id} was erased after this backup, and stays erased" in capsys.readouterr().out


def test_an_erasure_removes_the_closed_months_of_its_accounts_and_the_trail_still_holds(
    new_folder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_consent(new_folder()) as (bank, settings, own):
        folder = settings.data_dir
        with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
            ((account, month),) = connection.execute(
                "select account_id, strftime(last_booked_on - interval 1 month, '%Y-%m') from accounts"
            ).fetchall()
        for name, value in environment(bank, folder).items():
            monkeypatch.setenv(name, value)
        assert ask(folder, "close", "--month", month, "--allow-incomplete") == 0
        assert {"raw.duckdb", "vault.sqlite"} <= holding(folder, [account.encode()])
        assert ask(folder, "close", "--verify") == 0

        assert erase(bank, settings, monkeypatch, own.consent_id, "--yes") == 0

        assert holding(folder, [account.encode()]) == set()
        capsys.readouterr()
        assert ask(folder, "close", "--verify") == 0
        assert "0 closed months are as they were written" in capsys.readouterr().out
