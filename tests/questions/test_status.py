"""How things stand, for people, machines and whoever watches: what `status` says of a ledger, and what it ends with."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pipelines.consents.clients import vault_of
from pipelines.consents.vault import Vault
from pipelines.errors import GOOD, PARTIAL, Failure
from pipelines.notify.notices import about_differences
from pipelines.questions.metrics import exposition, write
from pipelines.questions.status import Status
from pipelines.run.accounts import accounts
from pipelines.run.freshness import Expected, expected, overdue_sentences
from pipelines.settings import KontistSettings, Settings
from tests.consents.customers import VAULT_KEY
from tests.ledger.worlds import Row
from tests.questions.asked import ask, data_dir, printed_json

ACCOUNT, IBAN, OWNER = "kontomatik:a", "PL61109010140000071219812874", "Erika Mustermann"
LAST_READ = datetime(2026, 3, 16, 6, tzinfo=UTC)
NOW = LAST_READ + timedelta(hours=24)
LATER = datetime(2099, 1, 1, tzinfo=UTC)


def a_read(number: int, day: int, status: str = "complete") -> Row:
    """One import of account `a`, from five to six o'clock."""
    about = {"import_id": f"i-{number}", "run_id": f"r-{number}", "account_id": ACCOUNT, "status": status}
    about |= {"started_at": datetime(2026, 3, day, 5, tzinfo=UTC), "finished_at": datetime(2026, 3, day, 6, tzinfo=UTC)}
    return about | {"window_start": date(2026, 3, 1) if number > 1 else None, "window_end": date(2026, 3, day)}


@pytest.fixture(scope="module")
def contradicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An account of 500.00, all from one row, of which the bank says 400.00 two weeks later and shows no further row."""
    first, second = a_read(1, 2), a_read(2, 16)
    shown = {"account_id": ACCOUNT, "currency": "PLN", "iban": IBAN, "owner_name": OWNER, "institution": "KontoBank"}
    balances = [
        shown | {"balance": Decimal("500.00"), "valid_from": first["finished_at"], "valid_to": second["finished_at"]},
        shown | {"balance": Decimal("400.00"), "valid_from": second["finished_at"]},
    ]
    movement = {"transaction_id": "kontomatik:a:1", "booked_on": date(2026, 2, 27), "amount": Decimal("500.00")}
    movement |= {"position_in_day": 1, "import_id": "i-1", "valid_from": first["finished_at"]}
    return data_dir(
        tmp_path_factory.mktemp("contradicted"),
        {
            "kontomatik.accounts": balances,
            "kontomatik.transactions": [movement],
            "kontomatik.imports": [first, second, a_read(3, 17, "failed")],
        },
    )


def test_an_account_whose_balance_contradicts_the_ledger_is_in_status_and_a_notice(contradicted: Path) -> None:
    (account,) = accounts(contradicted / "ledger.duckdb")
    (notice,) = about_differences([account])

    assert (account["differs_from"], account["differs_until"]) == ("2026-02-27", "2026-03-16")
    assert (account["days"], account["missing_days"], account["reconciled_days"]) == (18, 0, 0)
    assert (notice.payload["from_on"], notice.payload["to_on"]) == ("2026-02-27", "2026-03-16")


@pytest.fixture
def watched(contradicted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same at `NOW`, in a folder of its own: the account was read 24 hours ago, and a consent reads it."""
    monkeypatch.setattr("pipelines.read.options.utc_now", lambda: NOW)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(contradicted, tmp_path / "data")
    with vault(tmp_path / "data") as opened:
        a_consent(opened)
    return tmp_path / "data"


@contextmanager
def vault(folder: Path) -> Iterator[Vault]:
    with vault_of(Settings(data_dir=folder, vault_key=VAULT_KEY)) as opened:
        yield opened


def a_consent(opened: Vault, *covered: str, source: str = "kontomatik") -> str:
    consent = opened.add(
        source=source, institution="KontoBank", access_mode="MULTIPLE", now=NOW, token="a token", expires_at=LATER
    ).consent_id
    opened.covers(consent, covered or (ACCOUNT,))
    return consent


# ---- --max-age


@pytest.mark.parametrize(("hours", "status"), [("24", GOOD), ("23.9", PARTIAL)])
def test_status_ends_4_when_an_account_is_older_than_it_may_be(
    watched: Path, capsys: pytest.CaptureFixture[str], hours: str, status: int
) -> None:
    assert ask(watched, "status") == GOOD
    capsys.readouterr()
    assert ask(watched, "status", "--max-age", hours) == status
    said = ["! KontoBank …2874 PLN was not read for 24 hours, since 2026-03-16T06:00:00Z"] if status else []
    assert capsys.readouterr().err.splitlines() == said
    assert ask(watched, "status", "--json", "--max-age", hours) == status
    assert printed_json(capsys)["troubles"] == [line.removeprefix("! ") for line in said]


def test_status_ends_4_while_a_consent_is_over_and_nothing_reads_its_accounts(
    watched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with vault(watched) as opened:
        (over,) = [one.consent_id for one in opened.consents()]
        opened.move(over, "expired", "AccessTokenExpired", NOW)
    assert ask(watched, "status", "--max-age", "24") == PARTIAL
    assert f"consents renew {over}" in capsys.readouterr().err

    with vault(watched) as opened:
        renewed = a_consent(opened)
    assert ask(watched, "status", "--max-age", "24") == GOOD

    with vault(watched) as opened:  # who ends a consent does not want its accounts to be read
        for consent_id in (over, renewed):
            opened.move(consent_id, "revoking", "asked for", NOW)
            opened.move(consent_id, "revoked", "confirmed by the bank", NOW)
    assert ask(watched, "status", "--max-age", "1") == GOOD


@pytest.mark.parametrize("own", [{}, {"email": "a@example.com", "password": "s3cr3t"}], ids=["no password", "a password"])
def test_a_login_that_is_over_is_one_unless_a_password_does_without(tmp_path: Path, own: dict[str, Any]) -> None:
    with vault(tmp_path) as opened:
        login = a_consent(opened, "kontist:a", source="kontist")
        opened.move(login, "expired", "its time is over", NOW)
    found = expected(Settings(data_dir=tmp_path, vault_key=VAULT_KEY, kontist=KontistSettings(**own)), [])

    assert [one.consent_id for one in found.over] == ([] if own else [login])
    told_of = overdue_sentences([an_account()], found, 24, NOW)
    assert ["connect kontist" in one for one in told_of] == ([] if own else [True])


def test_status_ends_4_where_nothing_was_read_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tmp_path, "status", "--max-age", "13") == PARTIAL
    assert "nothing has been read yet" in capsys.readouterr().err


def an_account(**other: Any) -> dict[str, Any]:
    about = {"account_id": ACCOUNT, "source": "kontomatik", "institution": "KontoBank", "account_type": "card", "ending": "…2874"}
    about["display_name"] = "KontoBank card …2874 PLN"
    state = {"last_imported_at": "2026-03-16T06:00:00Z", "held_since": None, "gone_at": None, "differs_from": None}
    return about | state | {"days": 3, "missing_days": 0, "reconciled_days": 2} | other


def standing(*listed: dict[str, Any]) -> Status:
    return Status(lost=[], data_dir="data", clock=None, accounts=[*listed], consents=[], last_run=None)


@pytest.mark.parametrize(
    ("account", "said"),
    [
        (an_account(last_imported_at=None), ["KontoBank card …2874 PLN was never read"]),
        (an_account(last_imported_at=None, gone_at="2026-03-16T06:00:00Z"), []),
        (an_account(account_id="nobody reads it"), []),
    ],
    ids=["never read", "gone", "not expected"],
)
def test_an_account_that_was_never_read_is_too_old_and_one_that_nobody_expects_is_not(
    account: dict[str, Any], said: list[str]
) -> None:
    assert overdue_sentences([account], Expected({ACCOUNT}), 1, NOW) == said


def test_no_age_is_known_while_the_clock_is_wrong() -> None:
    (said,) = overdue_sentences([an_account()], Expected({ACCOUNT}), 99, NOW, clock="The clock went back")
    assert "The clock went back" in said


@pytest.mark.parametrize("damaged", ['{"seconds": "long"}', '{"sources": [1]}', "[]", "{", '{"checks": 3, "status": []}'])
def test_a_damaged_record_of_the_last_run_is_none(watched: Path, capsys: pytest.CaptureFixture[str], damaged: str) -> None:
    (watched / "run.last.json").write_text(damaged)

    assert ask(watched, "status") == GOOD
    assert "No run is on record" in capsys.readouterr().out
    assert ask(watched, "status", "--openmetrics") == GOOD
    assert "kontoledger_last_run_seconds 1" not in capsys.readouterr().out


# ---- --openmetrics


def samples(text: str) -> dict[tuple[str, str], float]:
    """Value by name and first label, as a monitor reads the text; it refuses what is no OpenMetrics."""
    return {
        (one.name.removeprefix("kontoledger_"), next(iter(one.labels.values()), "")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_a_monitor_reads_ages_shares_quota_days_and_the_last_run(watched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (watched / "run.last.json").write_text('{"run_id": "r-1", "status": "partial", "seconds": {"total": 12.345}}')
    with vault(watched) as opened:
        (consent,) = [one.consent_id for one in opened.consents()]
    assert ask(watched, "status", "--openmetrics") == GOOD
    text = capsys.readouterr().out

    assert text.endswith("# EOF\n")
    found = samples(text)
    days_left = found.pop(("consent_days_left", consent))
    assert days_left > 20_000
    assert found == {
        ("account_age_seconds", ACCOUNT): 24 * 3600,
        ("account_expected", ACCOUNT): 1,
        ("account_reconciled_ratio", ACCOUNT): 0,
        ("account_held", ACCOUNT): 0,
        ("account_differs", ACCOUNT): 1,
        ("consent_over", consent): 0,
        ("consent_imports_left", consent): 4,
        ("last_run_seconds", ""): 12.345,
        ("last_run_status", "ok"): 0,
        ("last_run_status", "partial"): 1,
        ("last_run_status", "failed"): 0,
        ("last_run_status", "checks_failed"): 0,
    }
    assert 'ending="…2874"' in text
    assert not [secret for secret in (IBAN, OWNER, "a token") if secret in text]


def test_what_is_not_known_is_left_out_and_a_hostile_name_stays_a_label() -> None:
    bank = 'Ba"nk\\n} 1\n# EOF\n'
    known = standing(an_account(institution=bank), an_account(account_id="b", last_imported_at=None, days=0))
    found = samples(exposition(known, Expected(set()), NOW))

    assert found["account_reconciled_ratio", ACCOUNT] == pytest.approx(2 / 3, abs=1e-6)
    assert ("account_age_seconds", "b") not in found
    assert ("account_reconciled_ratio", "b") not in found
    assert not [name for name, _ in found if "consent" in name or "last_run" in name]
    (family, *_) = text_string_to_metric_families(exposition(known, Expected(set()), NOW))
    assert family.samples[0].labels["institution"] == 'Ba"nk\\n} 1 # EOF '


def test_a_file_of_metrics_is_replaced_as_a_whole_for_the_readers_it_had(watched: Path) -> None:
    file = watched / "kontoledger.prom"
    before = os.umask(0o022)
    try:
        assert ask(watched, "status", "--openmetrics", str(file), "--max-age", "1") == PARTIAL
        assert file.stat().st_mode & 0o777 == 0o644
        assert samples(file.read_text(encoding="utf-8"))
        file.chmod(0o640)
        write(file, "# EOF\n")
    finally:
        os.umask(before)

    assert file.stat().st_mode & 0o777 == 0o640
    assert file.read_text(encoding="utf-8") == "# EOF\n"
    assert not list(watched.glob("*.prom.new"))


def test_a_file_of_metrics_that_cannot_be_replaced_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Failure, match="cannot be written"):
        write(tmp_path / "folder", "# EOF\n")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
