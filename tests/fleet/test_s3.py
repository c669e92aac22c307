"""Raw histories in S3: its server dies in the middle, its bucket keeps versions, its credentials are wrong."""

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import fsspec
import pytest

from pipelines.fleet.cells import fleet_of, of_customer
from pipelines.fleet.raw_store import RawStore, StoreBroken
from pipelines.fleet.workers import FleetReport
from pipelines.read.options import utc_now
from sources.sandbox import World
from tests.consents.postgres import empty_database
from tests.fleet.scene import Machine, connect, lighter, run_cell, waits_end
from tests.fleet.test_whole_fleets import assert_the_cell_is_the_world, holds, spent, two_machines, versions
from tests.support import ROOT, Ended, a_bank, command

if TYPE_CHECKING:
    from tests.fleet.s3_server import Bucket, S3Server

AWAY = "The store of raw histories cannot be used"
HISTORY = b"history" * 1000
SMALLEST_PART = 5 * 2**20
"""Bytes; only the last part of an upload may be smaller."""
ORDINARY = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
ERASING = ("s3:ListBucketVersions", "s3:DeleteObjectVersion", "s3:ListBucketMultipartUploads", "s3:AbortMultipartUpload")


@pytest.fixture
def bucket(s3: "S3Server") -> "Bucket":
    """An empty bucket that keeps no versions."""
    return s3.bucket()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw history, as far as a store knows one."""
    path = tmp_path / "raw.duckdb"
    path.write_bytes(HISTORY)
    return path


def ran(machine: Machine) -> FleetReport:
    """Does `fleet run`, one cell after the other."""
    return machine.workers(at_most=1).run(utc_now)


def test_a_server_that_dies_in_an_upload_and_in_a_fetch_costs_no_import_and_the_next_run_is_right(
    s3: "S3Server", bucket: "Bucket", postgresql: str, tmp_path: Path
) -> None:
    with (
        a_bank(World(transactions=60), dialect="live") as bank,
        two_machines(bank, empty_database(postgresql), tmp_path, bucket) as (here, there),
    ):
        for customer, login in (("K-1", "test1"), ("K-2", "test2")):
            connect(here.settings, customer, login)
        bank.world.append("Konto Start", amount="-12.34")
        begun = spent(bank)

        s3.dies_in = ("PUT", "/cell-0000/")
        uploading = ran(here)

        assert [(run.cell, run.status, AWAY in str(run.trouble)) for run in uploading.runs] == [
            ("cell-0000", 1, True),
            ("cell-0001", 1, True),
        ]
        assert (uploading.exit_status, s3.is_up, spent(bank)) == (1, False, begun + 2)
        s3.start()
        assert (versions(here.settings)[:2], bucket.counts()) == ([1, 1], [1, 1])

        s3.dies_in = ("GET", "/cell-0000/")
        with fleet_of(here.settings) as database:
            waits_end(database)
        fetching = ran(there)

        assert [(run.status, AWAY in str(run.trouble)) for run in fetching.runs] == [(1, True), (1, True)]
        assert (s3.is_up, spent(bank)) == (False, begun + 2)
        assert list(there.settings.fleet.folder.rglob("raw*.duckdb")) == []
        s3.start()

        passed_over = ran(there)
        assert (passed_over.waiting, passed_over.runs) == (2, [])
        with fleet_of(here.settings) as database:
            waits_end(database)
        assert [(run.cell, run.status) for run in ran(there).runs] == [("cell-0000", 0), ("cell-0001", 0)]
        assert spent(bank) == begun + 2, "the imports of the runs that failed were resumed"
        assert (versions(here.settings)[:2], bucket.counts()) == ([2, 2], [2, 2])
        for cell in ("cell-0000", "cell-0001"):
            assert_the_cell_is_the_world(there.settings.fleet.folder / cell, bank)


def test_wrong_credentials_and_a_missing_bucket_are_named_and_secrets_are_written_nowhere(
    s3: "S3Server", bucket: "Bucket", postgresql: str, tmp_path: Path
) -> None:
    with (
        a_bank(World(transactions=60), dialect="live") as bank,
        two_machines(bank, empty_database(postgresql), tmp_path, bucket) as (here, there),
    ):
        connect(here.settings, "K-1", "test2")
        begun = spent(bank)
        right = s3.variables("typist")
        secret = right["AWS_SECRET_ACCESS_KEY"]
        nobody = {**right, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        elsewhere = {"FLEET__STORE": f"s3://{uuid4().hex}/raw"}

        refused = {
            "PermissionError: SignatureDoesNotMatch": typed(there, right | {"AWS_SECRET_ACCESS_KEY": "wrong" + secret}),
            "NoCredentialsError": typed(there, nobody),
            "FileNotFoundError: NoSuchBucket": typed(here, right | elsewhere),
        }

        for cause, ended in refused.items():
            assert (ended.status, f"{AWAY} ({cause})." in ended.err) == (1, True), ended.err
            assert "Traceback" not in ended.err
            assert secret not in ended.out + ended.err
        assert (versions(here.settings)[0], spent(bank)) == (1, begun + 1), "only the run that had to fetch nothing has read"
        assert run_cell(of_customer(here.settings, "K-1")).status == "ok"
        assert (versions(here.settings)[0], spent(bank)) == (2, begun + 1)
        assert not holds(tmp_path, [secret.encode()])


def typed(machine: Machine, variables: dict[str, str]) -> Ended:
    """Runs the cell of the machine's customer by the command, with these variables."""
    folder = machine.settings.fleet.folder
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ("run", "--data-dir", str(of_customer(machine.settings, "K-1").data_dir), "--source", "kontomatik")
    return command(folder, machine.variables() | variables, *arguments, inside=lighter_as_it_is)


def lighter_as_it_is() -> None:
    """In a fork: raw history is loaded without dlt, and no ledger is built."""
    lighter(None)


def test_a_bucket_that_the_setting_misspells_is_not_made(s3: "S3Server", raw: Path) -> None:
    misspelt = s3.bucket(made=False)

    with pytest.raises(StoreBroken, match="NoSuchBucket"):
        RawStore(misspelt.address).put(raw, "cell-0001", 1)

    assert not misspelt.exists()


# ---- what a bucket keeps besides its objects


@pytest.fixture
def versioned(s3: "S3Server", raw: Path) -> "Bucket":
    """A bucket with an object, one that was removed, parts of an upload that nobody ended, and an object of another cell."""
    bucket = s3.bucket(versioned=True)
    store = RawStore(bucket.address)
    store.put(raw, "cell-0001", 2)
    store.put(raw, "cell-0001", 1)
    (first, _) = store.stored("cell-0001")
    store.remove(first)
    files = fsspec.filesystem("s3")
    about = {"Bucket": bucket.name, "Key": "raw/cell-0001/00000003-killed.duckdb"}
    upload = files.call_s3("create_multipart_upload", **about)["UploadId"]
    files.call_s3("upload_part", **about, UploadId=upload, PartNumber=1, Body=HISTORY)
    store.put(raw, "cell-00010", 1)
    return bucket


def test_what_is_removed_for_good_leaves_no_version_and_no_part_of_an_upload(
    versioned: "Bucket", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "1")  # each answer has one page of several
    store = RawStore(versioned.address)
    assert (len(store.names("cell-0001")), versioned.contents()) == (1, [HISTORY] * 4)

    for one in store.stored("cell-0001", for_good=True):
        store.remove(one)
        store.remove(one)

    assert (store.names("cell-0001"), versioned.contents()) == ([], [HISTORY])
    assert len(store.names("cell-00010")) == 1


def test_a_large_history_goes_up_in_parts_and_those_of_an_upload_that_broke_off_are_removed_for_good(
    s3: "S3Server", bucket: "Bucket", raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda *_, **__: SMALLEST_PART)
    raw.write_bytes(HISTORY * (2 * SMALLEST_PART // len(HISTORY) + 1))
    whole = raw.read_bytes()
    store = RawStore(bucket.address)
    name, digest = store.put(raw, "cell-0001", 1)
    s3.dies_in = ("PUT", "partNumber=2")
    with pytest.raises(StoreBroken):
        store.put(raw, "cell-0001", 2)
    s3.start()

    raw.unlink()
    store.fetch(name, digest, raw)
    found = store.stored("cell-0001", for_good=True)
    assert raw.read_bytes() == whole
    assert [one.name == name for one in found if one.upload is None] == [True]
    assert len([one for one in found if one.upload]) == 1
    for one in found:
        store.remove(one)
    assert (bucket.contents(), store.stored("cell-0001", for_good=True)) == ([], [])


def test_a_server_that_knows_no_versions_has_none(
    s3: "S3Server", bucket: "Bucket", raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RawStore(bucket.address)
    store.put(raw, "cell-0001", 1)
    monkeypatch.setattr(s3, "lacks", {"versions", "uploads"})

    for one in store.stored("cell-0001", for_good=True):
        store.remove(one)

    assert bucket.contents() == []


@pytest.mark.parametrize("lacking", ERASING)
def test_whoever_lacks_a_right_to_remove_for_good_is_refused_with_the_rights_that_are_needed(
    s3: "S3Server", versioned: "Bucket", lacking: str
) -> None:
    with s3.used_by(f"without-{lacking[3:]}", tuple(one for one in (*ORDINARY, *ERASING) if one != lacking)):
        store = RawStore(versioned.address)
        with pytest.raises(StoreBroken, match=r"PermissionError: AccessDenied\)\. Erasing needs the rights"):
            for one in store.stored("cell-0001", for_good=True):
                store.remove(one)
    assert HISTORY in versioned.contents()


def test_docs_name_each_right_that_a_store_needs() -> None:
    text = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    assert [right for right in (*ORDINARY, *ERASING) if f"`{right}`" not in text] == []


def test_a_run_needs_no_more_rights_than_these(s3: "S3Server", versioned: "Bucket", raw: Path) -> None:
    with s3.used_by("worker", ORDINARY):
        store = RawStore(versioned.address)
        name, digest = store.put(raw, "cell-0002", 1)
        store.fetch(name, digest, raw)
        for one in store.stored("cell-0002"):
            store.remove(one)
        assert store.names("cell-0002") == []
