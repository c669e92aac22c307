"""The deployments on a real Prefect server, served by a process of its own against the sandbox bank."""

import json
import shutil
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import duckdb
import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import Abort
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows import __main__ as command_line
from flows import operations
from flows.ingest import ingest
from flows.run_lock import marked
from pipelines.consents.clients import vault_of
from pipelines.store.lock import held
from sources.sandbox import World
from tests.patience import patient
from tests.scheduled.desk import held_up
from tests.scheduled.scene import Scene, automations_loaded, digest, prefect
from tests.scheduled.serving import AUTHORIZED, Server, Serving, names_of, serving, until
from tests.support import VAULT_KEY, a_bank, assert_the_ledger_is_the_world, environment, settings_for

DEPLOYMENTS = {"ingest", "reuse-multiple-access", "consent-renewals", "consent-revocation", "kontist-full-read", "catalog"}


def test_all_are_deployed_with_schedule_time_zone_and_described_parameters(scene: Scene) -> None:
    found = {name: scene.server.deployment(name) for name in DEPLOYMENTS}

    for name, one in found.items():
        (schedule,) = one["schedules"]
        assert schedule["schedule"]["timezone"] == "Europe/Berlin", name
        assert one["description"], name
        assert not one["paused"], name
        properties = one["parameter_openapi_schema"]["properties"]
        assert all(about.get("description") for about in properties.values()), name


def test_every_deployment_comes_to_its_good_end(ran: Scene) -> None:
    ends = {name: names_of(runs) for name, runs in ran.runs.items()}

    assert ends == {
        "consent-revocation": ["Completed"],
        "consent-renewals": ["Completed"],
        "catalog": ["Completed"],
        "ingest": ["Completed", "Skipped"],
        "reuse-multiple-access": ["Completed"],
        "kontist-full-read": ["Completed"],
    }, [run["state"]["message"] for runs in ran.runs.values() for run in runs]


def test_the_same_deployment_twice_at_once_is_one_run_and_one_skip(ran: Scene) -> None:
    well, skipped = sorted(ran.runs["ingest"], key=lambda run: str(run["state_name"]))

    assert "holds" in skipped["state"]["message"]
    shown = ran.server.artifacts(skipped["id"])
    assert shown["kontoledger-why"] == skipped["state"]["message"]
    assert len(shown["kontoledger-accounts"]) == 8
    assert all(row["balance"] and row["proof"] for row in shown["kontoledger-accounts"]), "as they were published last"
    assert ran.server.tasks(skipped["id"]) == {}
    assert "2 new" in well["state"]["message"]
    assert_the_ledger_is_the_world(ran.data_dir, ran.bank)
    assert ran.imports() == 2 * 6, "the first by hand and one through the consent that had none yet, of six accounts"


def test_runs_and_tasks_are_named_for_bank_and_institution(ran: Scene) -> None:
    well, skipped = sorted(ran.runs["ingest"], key=lambda run: str(run["state_name"]))

    assert (well["name"], skipped["name"]) == ("ingest: Kontist, KontoBank", "ingest: skipped")
    assert set(ran.server.tasks(well["id"])) == {
        "Kontist: Kontist",
        f"Kontomatik: KontoBank {ran.consents['expiring']}",
        "load and publish raw history",
        "build, check and publish the ledger",
    }
    (revoked,) = ran.runs["consent-revocation"]
    assert revoked["name"] == f"consent-revocation: KontoBank {ran.consents['unwanted']}"


def test_a_run_shows_its_accounts_checks_and_consents(ran: Scene) -> None:
    well = min(ran.runs["ingest"], key=lambda run: str(run["state_name"]))

    shown = ran.server.artifacts(well["id"])

    by_account = {(row["bank"], row["account"], row["balance"]): row for row in shown["kontoledger-accounts"]}
    new = {key[0]: row["new"] for key, row in by_account.items() if row["new"] == "1"}
    assert new == {"Kontist": "1", "KontoBank": "1"}
    assert {row["proof"] for row in by_account.values() if row["result"] == "complete"} <= {"chain", "derived"}
    assert all(row["balance"].endswith(("EUR", "PLN", "CZK")) for row in by_account.values() if row["result"] == "complete")
    assert {account for _, account, _ in by_account} >= {f"…{ending} EUR" for ending in ("4711", "4712")}, by_account.keys()
    assert shown["kontoledger-checks"] == "Nothing."
    assert f"{ran.settings.data_dir.as_uri()}/report.html" in shown["kontoledger-report"]
    assert shown["kontoledger-progress"] == 100
    listed = {row["consent_id"]: row for row in shown["kontoledger-consents"]}
    assert (listed[ran.consents["expiring"]]["days_left"], listed[ran.consents["over"]]["status"]) == (13, "expired")
    assert listed[ran.consents["first"]]["imports_left"] == 1000 - 2
    assert f"consents renew {ran.consents['expiring']}" in shown["kontoledger-renewals"]
    assert "/deployments/deployment/" in shown["kontoledger-renewals"]


def test_a_sign_in_link_is_made_when_asked_for(ran: Scene) -> None:
    (renewals,) = ran.runs["consent-renewals"]

    link = ran.server.artifacts(renewals["id"])["kontoledger-sign-in"]

    assert f"{ran.bank.url}/kontobank/" in link
    with vault_of(ran.settings) as vault:
        assert [one.replaces for one in vault.consents(status=("pending",))] == [ran.consents["expiring"]]


def test_consents_are_ended_and_erased_with_receipts(ran: Scene) -> None:
    (by_hand,) = ran.runs["consent-revocation"]

    assert "receipts" in ran.server.artifacts(by_hand["id"])["kontoledger-receipts"]
    with vault_of(ran.settings) as vault:
        states = {name: vault.consent(consent_id).status for name, consent_id in ran.consents.items()}
    assert states == {
        "first": "active",
        "expiring": "expiring",
        "over": "expired",
        "revoking": "revoked",
        "unwanted": "erased",
    }


def test_events_reach_machines_once(ran: Scene) -> None:
    kinds = ("consent.expiring", "consent.expired", "consent.revoked")
    consents = ran.server.events(*(f"kontoledger.{kind}" for kind in kinds), count=4)

    assert sorted((one["event"].rpartition(".")[2], one["payload"]["consent_id"]) for one in consents) == sorted(
        [
            ("expiring", ran.consents["expiring"]),
            ("expired", ran.consents["over"]),
            ("revoked", ran.consents["revoking"]),
            ("revoked", ran.consents["unwanted"]),
        ]
    )
    expiring = next(one for one in consents if one["event"].endswith("expiring"))
    assert expiring["resource"]["prefect.resource.id"] == f"kontoledger.consent.{ran.consents['expiring']}"
    assert (expiring["payload"]["days_left"], expiring["payload"]["step"]) == (13, 14)
    assert {one["payload"]["institution"] for one in ran.server.events("kontoledger.account.stale", count=8)} == {
        "Kontist",
        "KontoBank",
    }


def test_people_are_notified_of_the_same_once(ran: Scene) -> None:
    result = [(one["event"], one["key"]) for one in ran.heard]

    assert len(result) == len(set(result))
    assert ("kontoledger.consent.expired", ran.consents["over"]) in result
    assert ("kontoledger.consent.expiring", f"{ran.consents['expiring']} 14") in result


def test_nothing_that_is_shown_or_logged_names_people_account_numbers_or_secrets(ran: Scene) -> None:
    with vault_of(replace(ran.settings, vault_key=VAULT_KEY)) as vault:
        token = vault.token(ran.consents["first"])
    world = ran.bank.world
    hidden = {token, VAULT_KEY, world.kontomatik_api_key, world.kontist_password, world.kontist_email}
    hidden |= {account.iban for account in world.accounts if account.iban}
    hidden |= {row.party for account in world.accounts for row in account.transactions if row.party}

    for run in (run for runs in ran.runs.values() for run in runs):
        said = ran.server.logs(run["id"]) + json.dumps(ran.server.artifacts(run["id"])) + json.dumps(run)
        assert not [one for one in hidden if one in said], run["name"]
    for said in (json.dumps(ran.heard), ran.server.all_told()):
        assert not [one for one in hidden if one in said]


def test_all_workers_together_send_eight_commands_at_once(scene: Scene) -> None:
    limit = scene.server.ask("/v2/concurrency_limits/kontomatik-commands")

    assert (limit["limit"], limit["active"]) == (8, True)


def test_a_server_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        status = command_line.main(["status"])

    assert status == 1
    assert (
        capsys.readouterr().err == "No Prefect server answers at http://127.0.0.1:1/api. Start it, or correct PREFECT_API_URL.\n"
    )


def test_status_shows_every_deployment(ran: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    with ran.server.asked():
        status = command_line.main(["status", "--json"])

    shown = json.loads(capsys.readouterr().out)
    assert (status, shown["troubles"]) == (0, [])
    assert {one["name"] for one in shown["deployments"]} == DEPLOYMENTS
    assert all(one["next_run"] and one["last_run"] for one in shown["deployments"])
    assert shown["commands"] == {"taken": 0, "of": 8}
    assert shown["access"] == {"login": True, "any_page": False, "blocks": ["kontoledger-vault-key"]}


def test_a_server_as_deploy_sets_it_up_answers_nobody_without_its_login_and_no_web_page(ran: Scene) -> None:
    """A page's browser asks by its origin, and reads nothing unless the server allows that origin."""
    block = f"{ran.server.url}/block_documents/filter"
    asked = {"include_secrets": True}
    page = {"Origin": "https://example.com"}
    with httpx.Client(trust_env=False) as browser:
        assert browser.post(block, json=asked).status_code == 401
        assert browser.post(block, content=json.dumps(asked), headers=page | {"Content-Type": "text/plain"}).status_code == 401
        with_login = browser.post(block, json=asked, headers=page | AUTHORIZED)
        preflight = browser.options(block, headers=page | {"Access-Control-Request-Method": "POST"})

    assert with_login.status_code == 200
    assert preflight.status_code == 400
    allowed = [name for one in (with_login, preflight) for name in one.headers if name == "access-control-allow-origin"]
    assert allowed == []


def test_a_wrong_login_is_named(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with server.asked(), temporary_settings({PREFECT_API_AUTH_STRING: "kontoledger:wrong"}):
        status = command_line.main(["status"])

    assert status == 1
    assert capsys.readouterr().err == (
        f"Prefect's server at {server.url} refuses this login. Set PREFECT_API_AUTH_STRING as `deploy/login` wrote it.\n"
    )


def test_a_failed_check_keeps_the_ledger_and_is_reported(ran: Scene) -> None:
    raw, kept = ran.data_dir / "raw.duckdb", ran.data_dir / "raw.kept"
    shutil.copy(raw, kept)
    ledger = digest(ran.data_dir / "ledger.duckdb")
    with duckdb.connect(raw) as spoiling:
        spoiling.execute("insert into kontist.transactions from kontist.transactions where _dlt_valid_to is null limit 1")

    try:
        with automations_loaded(ran.server) as notified:
            (run,) = ran.server.ended(ran.server.trigger("reuse-multiple-access"))
            until(lambda: notified, what="the notification")
    finally:
        kept.replace(raw)

    assert (run["state_type"], run["state_name"]) == ("FAILED", "ChecksFailed")
    assert digest(ran.data_dir / "ledger.duckdb") == ledger
    shown = ran.server.artifacts(run["id"])["kontoledger-checks"]
    assert all(row["rows"] >= 1 and row["check"] for row in shown)
    assert [one["subject"] for one in notified] == [f"kontoledger: {run['name']} ended as ChecksFailed"]
    result = ran.server.events("kontoledger.check.failed", count=len(shown))
    assert {one["payload"]["check"] for one in result} == {row["check"] for row in shown}


def taken_up_again(ran: Scene, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect hands out the very same run to a second process: this one."""
    for name, value in ran.environ.items():
        monkeypatch.setenv(name, value)
    with ran.server.asked(), get_client(sync_client=True) as client, pytest.raises(Abort):
        run_flow(ingest, client.read_flow_run(UUID(run_id)))


def test_a_run_that_is_begun_twice_imports_once_and_cancelled_leaves_no_half_state(
    ran: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, imports = digest(ran.data_dir / "raw.duckdb"), ran.imports()
    with held_up(ran.bank) as slow:
        run_id = ran.server.trigger("ingest", due_hours=0)
        assert slow.reached.wait(patient(60))
        assert ran.server.places_taken() > 0, "one a consent that is being read"

        begun = ran.imports()
        taken_up_again(ran, run_id, monkeypatch)
        assert ran.imports() == begun, "the same run, given out twice, is one import"
        under_way = ran.server.run(run_id)
        assert under_way["state_type"] == "RUNNING"
        assert "skipped" not in under_way["name"]

        ran.server.ask(f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}, "force": True})
        slow.let_go.set()
        (run,) = ran.server.ended(run_id)

    assert run["state_type"] == "CANCELLED", run["state"]
    assert digest(ran.data_dir / "raw.duckdb") == before
    assert not (ran.data_dir / "raw.new.duckdb").exists()
    with held(ran.data_dir, "test", patience=patient(10)):
        assert not (ran.data_dir / ".work").exists()
    assert ran.imports() > imports, "the bank had accepted them; the next run resumes them"
    assert ran.server.places_taken() == 0
    assert "fault in this program" not in ran.server.logs(run_id), "to be cancelled is no bug"


def test_a_killed_worker_is_replaced_by_the_next(ran: Scene) -> None:
    """Its run is closed in the books, its import is resumed and not repeated, and the ledger is whole."""
    ran.bank.world.append("4712", amount="-9.99")
    before, imports = digest(ran.data_dir / "raw.duckdb"), ran.imports()
    with held_up(ran.bank) as slow:
        lost = ran.server.trigger("ingest", due_hours=0)
        assert slow.reached.wait(patient(60))

        ran.served.kill()
        slow.let_go.set()
    assert ran.server.run(lost)["state_type"] == "RUNNING"
    assert ran.server.places_taken() > 0
    assert digest(ran.data_dir / "raw.duckdb") == before
    late = ran.server.planned("catalog")[:2]
    for run_id in late:
        state = {"type": "SCHEDULED", "name": "Late", "state_details": {"scheduled_time": datetime.now(UTC).isoformat()}}
        ran.server.ask(f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})
    elsewhere, alive = ran.server.trigger("catalog", data_dir=str(ran.folder / "other")), ran.server.trigger("consent-renewals")
    for run_id in (elsewhere, alive):
        ran.server.ask(f"/flow_runs/{run_id}/set_state", {"state": {"type": "RUNNING"}, "force": True})
    with marked(ran.data_dir, alive), serving(ran.server, ran.folder, ran.environ) as again:
        (healed,) = ran.server.ended(ran.server.trigger("ingest", due_hours=0, wait_seconds=60))

        assert names_of(ran.server.ended(*late)) == ["Cancelled", "Completed"]
        assert ran.server.run(lost)["state_type"] == "CRASHED", again.log.read_text()
        assert [ran.server.run(run_id)["state_type"] for run_id in (elsewhere, alive)] == ["RUNNING", "RUNNING"]
        resumed = ran.imports()
        stopped_in_order(ran, again)
    assert healed["state_name"] == "Completed", healed["state"]
    assert ran.server.places_taken() > 0, "what the killed run held"
    for run_id in (elsewhere, alive):
        ran.server.ask(f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLED"}, "force": True})
    with ran.server.asked(), operations.server() as client:
        operations.tidy(client, ran.data_dir)
    assert ran.server.places_taken() == 0, "counted anew when no run is under way"
    assert resumed == imports, "what the cancelled run had begun was resumed by its command id"
    assert_the_ledger_is_the_world(ran.data_dir, ran.bank)


def stopped_in_order(ran: Scene, served: Serving) -> None:
    """As systemd stops it, in the middle of a run: that is cancelled, nothing of it stays, and nothing is left to be started."""
    before = digest(ran.data_dir / "raw.duckdb")
    with held_up(ran.bank) as slow:
        run_id = ran.server.trigger("ingest", due_hours=0)
        assert slow.reached.wait(patient(60))
        served.process.send_signal(signal.SIGTERM)
        slow.let_go.set()
        assert served.process.wait(timeout=patient(60)) == 0

    run = ran.server.run(run_id)
    assert (run["state_type"], run["state"]["message"]) == ("CANCELLED", "The schedule was stopped; the next run goes on.")
    assert digest(ran.data_dir / "raw.duckdb") == before
    assert not (ran.data_dir / "flow-runs" / f"{run_id}.lock").exists()
    assert all(ran.server.deployment(name)["paused"] for name in DEPLOYMENTS)
    assert not [line for line in ("Traceback", "Warning:") if line in served.log.read_text()], served.log.read_text()


def test_a_worker_of_a_pool_runs_what_was_deployed(server: Server, tmp_path: Path) -> None:
    server.ask("/work_pools/", {"name": "kontoledger", "type": "process"})
    with a_bank(World(transactions=20)) as bank:
        settings = settings_for(bank, tmp_path / "data")
        environ = environment(bank, PIPELINES__DATA_DIR=str(settings.data_dir))
        prefect(server, environ, "-m", "prefect", "deploy", "--all")
        for schedule in ("ingest", "consent-revocation"):
            assert server.deployment(schedule)["work_pool_name"] == "kontoledger"
        run_id = server.trigger("ingest", sources=["kontist"])

        prefect(server, environ, "-m", "prefect", "worker", "start", "--pool", "kontoledger", "--run-once", "--limit", "1")
        (run,) = server.ended(run_id)

    assert (run["state_name"], run["name"]) == ("Completed", "ingest: Kontist"), run["state"]
    assert (settings.data_dir / "ledger.duckdb").exists()
