"""Connections to PostgreSQL whose network is cut: each side must notice, or both would wait for hours."""

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sql

from pipelines.consents.database import Database
from pipelines.consents.postgres import OURS, SERVERS
from pipelines.fleet.lake_catalog import Lake, LakeCatalog
from tests.consents.postgres import empty_database


def parameters(session: sql.Connection) -> dict[str, str]:
    """Returns what libpq was asked for, beside its defaults."""
    asked: dict[str, str] = session.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]
    return asked


def test_whoever_waits_for_the_vault_or_the_lake_notices_within_half_a_minute_that_its_network_is_cut(
    postgresql: str, tmp_path: Path
) -> None:
    url = empty_database(postgresql)
    with closing(Database(tmp_path, url)) as vault, closing(vault.session()) as of_vault:
        assert parameters(of_vault).items() >= OURS.items()
    with closing(LakeCatalog(Lake(empty_database(postgresql), "lake"))) as catalog:
        assert parameters(catalog._session).items() >= OURS.items()


@pytest.mark.parametrize("url", ["postgresql+psycopg://reader@db/lake", "postgresql://reader@db/lake"])
def test_the_connections_of_duckdb_to_a_catalog_notice_it_too_and_so_does_the_server(url: str) -> None:
    address = Lake(url, "lake").for_libpq()

    assert all(f"{name}='{value}'" in address for name, value in OURS.items())
    assert all(f"-c {name}={value}" in address for name, value in SERVERS.items())


def test_parameters_in_the_address_of_a_vault_stay_as_they_are(postgresql: str, tmp_path: Path) -> None:
    url = f"{empty_database(postgresql)}&tcp_user_timeout=5000"
    with closing(Database(tmp_path, url)) as vault, closing(vault.session()) as session:
        found = parameters(session)

    assert (found["tcp_user_timeout"], found["keepalives_idle"]) == ("5000", OURS["keepalives_idle"])
