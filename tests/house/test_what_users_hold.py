"""What users hold on to: settings that mean the same to us and to dlt, the ledger's tables and types, README's queries."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import duckdb
import pytest

from pipelines.settings import FleetSettings, KontistSettings, KontomatikSettings, NotificationSettings, Settings, load_settings
from sources.sandbox import World
from tests.patience import patient
from tests.support import ROOT, VAULT_KEY, a_bank, opened, read, rows

SECRET = ("api_key", "password", "email", "refresh_token", "vault_key", "vault_url")
SECRET += ("client_id", "client_secret", "lake")
SECRET += ("email_user", "email_password", "webhook_url", "slack_url", "urls")
SECTIONS = {
    "pipelines": Settings,
    "sources.kontomatik": KontomatikSettings,
    "sources.kontist": KontistSettings,
    "notifications": NotificationSettings,
    "fleet": FleetSettings,
}
NOT_SET = ("kontomatik", "kontist", "notifications", "sandbox", "fleet", "customer")
EXAMPLES = {
    "allow_payments": True,
    "keep_national_ids": True,
    "report": False,
    "read_orders": False,
    "dialect": "live",
    "auth": "basic",
    "base_url": "https://bank.example",
    "data_dir": "elsewhere",
    "folder": "/somewhere",
    "store": "file:///store",
    "lake_data": "s3://bucket/lake",
    "lake_encrypted": True,
    "email_security": "tls",
} | {name: f"a {name}" for name in (*SECRET, "redirect_url", "email_host", "email_from", "email_to")}
EXAMPLES |= {"vault_key": VAULT_KEY, "sources.kontist.dialect": "graphql", "redirect_uri": "http://127.0.0.1:9/back"}
KEYS = [f"{section}.{one.name}" for section, kind in SECTIONS.items() for one in fields(kind) if one.name not in NOT_SET]
CONTRACT = {
    "pipelines": "data_dir vault_key",
    "sources.kontomatik": "base_url dialect api_key poll_interval command_deadline max_parallel_commands imports_per_day"
    " lookback_days",
    "sources.kontist": "base_url dialect client_id client_secret redirect_uri auth email password refresh_token lookback_days"
    " requests_per_minute",
}


NOT_THERE = "select 1 from {0} anti join (select {3} as {1} from {2}) using ({1}) where {1} is not null"


def test_every_setting_of_the_contract_is_there() -> None:
    assert {f"{section}.{name}" for section, names in CONTRACT.items() for name in names.split()} <= set(KEYS)


def test_dlt_finds_the_same_settings_as_we_do(tmp_path: Path) -> None:
    """From a file, and from the environment, which wins."""
    (tmp_path / ".dlt").mkdir()
    for file, secret in (("config", False), ("secrets", True)):
        lines = []
        for section, kind in SECTIONS.items():
            lines.append(f"[{section}]")
            names = [one.name for one in fields(kind) if one.name not in NOT_SET and (one.name in SECRET) is secret]
            lines += [
                f"{name} = {json.dumps(EXAMPLES.get(f'{section}.{name}', EXAMPLES.get(name, number + 1)))}"
                for number, name in enumerate(names)
            ]
        (tmp_path / ".dlt" / f"{file}.toml").write_text("\n".join(lines))
    environ = {"SOURCES__KONTIST__LOOKBACK_DAYS": "77", "SOURCES__KONTOMATIK__API_KEY": "from-the-environment"}

    ours = load_settings(environment=environ, folder=tmp_path)
    asking = (
        "import dlt, json\n"
        f"secret = lambda key: key.rpartition('.')[2] in {SECRET}\n"
        f"print(json.dumps({{key: (dlt.secrets if secret(key) else dlt.config)[key] for key in {KEYS}}}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", asking],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "RUNTIME__DLTHUB_TELEMETRY": "false"} | environ,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert result.returncode == 0, result.stderr
    theirs = json.loads(result.stdout)
    for key in KEYS:
        section, _, name = key.rpartition(".")
        value = getattr({"pipelines": ours}.get(section) or getattr(ours, section.rpartition(".")[2]), name)
        assert str(value) in (str(theirs[key]), f"{theirs[key]}.0", str(Path.cwd() / str(theirs[key]))), key


def test_the_settings_file_says_what_the_defaults_are() -> None:
    written = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text())
    for section, kind in SECTIONS.items():
        table = written
        for part in section.split("."):
            table = table[part]
        for name, value in table.items():
            assert str(getattr(kind(), name)) == str(value), f"{section}.{name}"


def test_every_setting_of_notifications_is_explained_in_the_file_where_it_belongs() -> None:
    for file, secret in (("config", False), ("example.secrets", True)):
        section = (ROOT / ".dlt" / f"{file}.toml").read_text().partition("[notifications]")[2].partition("\n[")[0]
        named = set(re.findall(r"^(?:# )?(\w+) = ", section, re.MULTILINE))

        assert named == {one.name for one in fields(NotificationSettings) if (one.name in SECRET) is secret}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory in which both banks have been read and something has changed."""
    folder = tmp_path_factory.mktemp("held")
    world = World(transactions=400)
    with a_bank(world, dialect="live") as bank:
        read(bank, folder)
        world.append("4711", amount="-1.00", pending=True)
        world.correct(world.account("Konto Start").transactions[2], description="another text")
        world.delete(world.account("Konto Start").transactions[5])
        read(bank, folder)
        yield folder


@pytest.mark.parametrize("name", ["ledger", "raw"])
def test_no_column_is_a_float(data: Path, name: str) -> None:
    floats = "select column_name from duckdb_columns() where not internal and regexp_matches(data_type, 'DOUBLE|FLOAT|REAL')"

    assert rows(data, floats, of=name) == []


def test_every_table_and_column_has_its_comment(data: Path) -> None:
    assert rows(data, "select table_name from duckdb_tables() where not internal and coalesce(trim(comment), '') = ''") == []
    assert (
        rows(data, "select table_name, column_name from duckdb_columns() where not internal and coalesce(trim(comment), '') = ''")
        == []
    )


def test_the_ledger_has_the_tables_and_columns_of_the_contract(data: Path) -> None:
    found = dict(rows(data, "select table_name, list(column_name) from duckdb_columns() group by all"))
    wanted = {
        "accounts": "account_id source source_account_id institution account_type iban name currency owner_name balance"
        " available_balance balance_at first_booked_on last_booked_on last_imported_at",
        "transactions": "transaction_id account_id source source_transaction_id status booked_on value_on booked_at amount"
        " currency original_amount original_currency counterparty_name counterparty_iban description end_to_end_id"
        " transaction_type category labels balance_after transfer_id first_seen_at last_changed_at",
        "transaction_history": "transaction_id amount valid_from valid_to change",
        "balances_daily": "account_id opening_balance money_in money_out closing_balance transactions proof",
        "standing_orders": "account_id amount",
        "timed_orders": "account_id amount",
        "imports": "import_id account_id source window_start window_end started_at finished_at status rows reason",
        "consents": "consent_id institution access_mode status created_at expires_at days_left",
        "quarantine": "source reason payload",
    }
    for table, columns in wanted.items():
        assert set(columns.split()) <= set(found[table]), table


def test_readmes_queries_find_the_same_in_a_file_of_any_name_and_under_any_alias(data: Path, tmp_path: Path) -> None:
    """As README says: a file that is opened needs nothing, one that is attached needs `use ALIAS`."""
    queries = re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    march = shutil.copy(data / "ledger.duckdb", tmp_path / "march.duckdb")
    assert len(queries) >= 6
    with opened(data) as as_published, opened(tmp_path, "march") as renamed, duckdb.connect() as attached:
        attached.execute(f"set TimeZone = 'UTC'; attach '{march}' as other (read_only); use other")
        for query in queries:
            found = [sorted(map(repr, one.execute(query).fetchall())) for one in (as_published, renamed, attached)]
            assert found[0], query
            assert found[0] == found[1] == found[2], query


def test_readmes_forecast_names_its_account_and_currency(data: Path) -> None:
    (query,) = re.findall(r"```sql\n([^`]*cash_forecast.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    with opened(data) as connection:
        columns = [column[0] for column in connection.execute(query).description or []]

    assert {"display_name", "currency", "closing_balance"} <= set(columns)


def test_both_names_of_a_table_work(data: Path) -> None:
    with opened(data) as connection:
        assert (
            connection.execute("select count(*) from transactions").fetchall()
            == connection.execute("select count(*) from ledger.transactions").fetchall()
        )


def test_every_relation_holds(data: Path) -> None:
    """Each value that is not null is in the column that it points to."""
    relations = rows(data, "select from_table, from_column, to_table, to_column from relations")
    broken = [
        (table, column) for table, column, other, key in relations if rows(data, NOT_THERE.format(table, column, other, key))
    ]

    assert len(relations) > 50
    assert broken == []


def test_views_can_be_read_under_any_name_of_the_file(data: Path, tmp_path: Path) -> None:
    shutil.copy(data / "ledger.duckdb", tmp_path / "march.duckdb")
    counted = "select (select count(*) from {0}transactions_enriched), (select count(*) from {0}changes)"
    with duckdb.connect(tmp_path / "march.duckdb", read_only=True) as connection:
        opened_by_name = connection.execute(counted.format("")).fetchone()
    with duckdb.connect() as connection:
        connection.execute(f"attach '{tmp_path / 'march.duckdb'}' as other (read_only)")
        attached = connection.execute(counted.format("other.")).fetchone()

    assert opened_by_name == attached == rows(data, counted.format(""))[0]
    assert opened_by_name[0] > 0


def test_an_old_duckdb_can_open_the_ledger(data: Path) -> None:
    """The file says which DuckDB it needs at least: 64 is that of 1.0 and before."""
    for name in ("ledger", "raw"):
        head = (data / f"{name}.duckdb").read_bytes()[8:24]
        assert head[:4] == b"DUCK"
        assert int.from_bytes(head[4:12], "little") <= 64


def test_nobody_can_write_where_we_read(data: Path) -> None:
    with opened(data) as connection, pytest.raises(duckdb.InvalidInputException):
        connection.execute("create table main.more as select 1")
