"""An erasure of a consent removes what files brought of its accounts; a backup holds it until then."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from pipelines.consents import upkeep
from pipelines.run.backups import make
from pipelines.run.file_import import Wanted, import_files
from pipelines.run.file_import import read as files_at
from pipelines.store.lock import held
from sources.files.detection import Hints
from sources.sandbox import World
from tests.consents.customers import a_bank, connected, only_ben, settings_for
from tests.files.bank_files import Stated, camt053
from tests.support import rows

SECRET = "Kaution von Erika Beispiel"


def test_an_erasure_leaves_no_byte_of_an_imported_file(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with a_bank(World(transactions=12)) as (bank, _):
        only_ben(bank)
        settings = replace(settings_for(bank, data_dir), report=False)
        consent = connected(bank, settings)
        ((account, iban, currency),) = rows(
            data_dir, "select account_id, iban, currency from kontomatik.accounts where _dlt_valid_to is null", of="raw"
        )
        day = date(2020, 5, 4)
        (tmp_path / "old.xml").write_text(
            camt053(Stated(day, day, Decimal(0), [(day, Decimal(7), SECRET)]), iban=iban, currency=currency)
        )
        with held(data_dir, "test"):
            (imported,) = import_files(settings, files_at([tmp_path / "old.xml"], Hints()), Wanted(), bank.world.clock.now())
        assert imported.account_id == account
        assert SECRET.encode() in (data_dir / "raw.duckdb").read_bytes()
        with held(data_dir, "test"):
            made = make(settings, tmp_path / "backup", bank.world.clock.now())
        assert rows(made.folder, "select description from file.transactions", of="raw") == [(SECRET,)]
        (tmp_path / "else.xml").write_text(camt053(Stated(day, day, Decimal(0), [(day, Decimal(7), "elsewhere")])))
        with held(data_dir, "test"):
            import_files(settings, files_at([tmp_path / "else.xml"], Hints()), Wanted(new="Else"), bank.world.clock.now())

        upkeep.end(settings, consent.consent_id, bank.world.clock.now, erase=True)
        assert upkeep.finish_erasing(settings, bank.world.clock.now)

    for table in ("files", "statements", "transactions", "imports"):
        found = rows(data_dir, f"select count(*), count(*) filter (where account_id = '{account}') from file.{table}", of="raw")
        assert found == [(1, 0)], table
    (receipt,) = (data_dir / "receipts").glob("erased-*.txt")
    assert "accounts that are known from imported files only (1): `import --erase` removes those" in receipt.read_text()
    assert not [path for path in data_dir.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
