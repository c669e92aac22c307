"""A lake whose files are in S3. `test_lake.py` runs this file with a DuckDB that has the extensions of a lake."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from pipelines.fleet.lake import opened
from pipelines.fleet.lake_catalog import Lake, LakeBroken
from tests.fleet.lake_desk import BY_CELL, MANY
from tests.fleet.s3_server import REGION, Bucket, S3Server
from tests.fleet.small_ledgers import small_ledger

ADA = "Ada Sample"


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, and the variables by which DuckDB finds its server."""
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("DUCKDB_S3_ENDPOINT", s3.url.removeprefix("http://"))
    monkeypatch.setenv("DUCKDB_S3_USE_SSL", "false")
    return s3.bucket()


def test_a_server_that_dies_while_a_cell_is_published_leaves_it_as_it_was_and_an_erasure_leaves_no_byte(
    s3: S3Server, bucket: Bucket, lake: Lake, tmp_path: Path
) -> None:
    in_s3 = replace(lake, data=f"s3://{bucket.name}/lake")
    ledger, other = tmp_path / "1.duckdb", tmp_path / "2.duckdb"
    small_ledger(other, MANY, holder="Mo Stays")
    with opened(in_s3) as session:
        session.publish("cell-0001", small_ledger(ledger, MANY, holder=ADA), version=1)
        session.publish("cell-0002", other, version=1)
    assert asked(in_s3, BY_CELL) == [("cell-0001", 40, Decimal("824.00")), ("cell-0002", 40, Decimal("824.00"))]

    s3.dies_in = ("PUT", "/lake/")
    with opened(in_s3) as session, pytest.raises(LakeBroken):
        session.publish("cell-0001", small_ledger(ledger, [*MANY, "1.00"], holder=ADA), version=2)
    assert not s3.is_up
    s3.start()

    assert asked(in_s3, BY_CELL)[0] == ("cell-0001", 40, Decimal("824.00"))
    assert any(ADA.encode() in one for one in bucket.contents())
    with opened(in_s3) as session:
        session.erase("cell-0001", small_ledger(ledger, ["5.00"], holder="Mo Stays"), version=3)
        assert session.check({"cell-0001": ledger, "cell-0002": other}) == []
    assert asked(in_s3, BY_CELL) == [("cell-0001", 1, Decimal("5.00")), ("cell-0002", 40, Decimal("824.00"))]
    assert not any(ADA.encode() in one for one in bucket.contents())


def asked(lake: Lake, query: str) -> list[tuple[object, ...]]:
    """Asks the lake as a BI tool does."""
    with duckdb.connect() as connection:
        connection.execute("load postgres; load ducklake; load httpfs; set s3_url_style = 'path'")
        address = lake.for_libpq().replace("'", "''")
        connection.execute(f"attach 'ducklake:postgres:{address}' as lake (read_only); use lake")
        return connection.execute(query).fetchall()
