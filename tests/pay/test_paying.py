"""Paying at the sandbox bank: what is asked, sent, kept on record, and what a wrong TAN or a silent bank lead to."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from pipelines.consents.database import VaultBroken
from pipelines.consents.vault import Vault
from pipelines.pay.paying import Desk, GivenUp, Intent, NobodyKnows, NotPaid
from sources._errors import Rejected
from sources.kontist.payments import Done, Payments, Uncertain
from sources.sandbox import DropsConnection, ServerError, TooManyRequests
from tests.pay.desk import RENT, Typing, a_counter, answering, last_tan
from tests.pay.test_documented_payments import LUNCH, REGISTERED

PAID = ["the bank is asked", "the TAN is sent", "done: ACCEPTED"]


def test_a_transfer_is_paid_once_and_written_down(tmp_path: Path) -> None:
    with a_counter(tmp_path) as counter:
        before = counter.world.account("4711").balance
        done, person = counter.transfer()
        assert done == Done("ACCEPTED")
        newest = counter.world.account("4711").transactions[0]
        assert (newest.cents, newest.party, newest.party_iban, newest.description) == (
            -85_000,
            RENT.recipient,
            RENT.iban,
            "Miete",
        )
        assert counter.world.account("4711").balance - before == -850
        assert counter.asked() == ["POST transfer", "PUT transfer"]
        assert counter.trail() == PAID
        assert person.heard[0].startswith("from")
        assert person.heard[-1] == "The bank says ACCEPTED."


def test_the_trail_names_no_account_and_nobody_in_full(tmp_path: Path) -> None:
    with a_counter(tmp_path) as counter:
        counter.transfer()
        kept = (tmp_path / "vault.sqlite").read_bytes()
        for secret in (RENT.iban, RENT.recipient, last_tan(counter.world), counter.world.account("4711").iban or ""):
            assert secret.encode() not in kept
        assert [one.what for one in counter.vault.trail()] == ["pay: transfer: 850.00 EUR to …3000, from …4711"] * 3
        assert {one.who for one in counter.vault.trail()} == {"ada"}


@pytest.mark.parametrize("answer", ["", "no", "y", "yes please"])
def test_nothing_is_registered_without_a_yes(tmp_path: Path, answer: str) -> None:
    with a_counter(tmp_path) as counter:
        with pytest.raises(NotPaid):
            counter.transfer(answers=[answer])
        assert counter.asked() == []
        assert counter.trail() == ["given up by the person"]


@pytest.mark.parametrize("typed", ["", "12345", "abcdef", "1234567"])
def test_what_is_no_tan_is_not_sent(tmp_path: Path, typed: str) -> None:
    with a_counter(tmp_path) as counter:
        with pytest.raises(NotPaid):
            counter.transfer(answers=["yes", typed])
        assert counter.asked() == ["POST transfer"]
        assert counter.trail() == ["the bank is asked", "given up: no TAN"]


def test_a_wrong_tan_pays_nothing_and_is_not_tried_again(tmp_path: Path) -> None:
    with a_counter(tmp_path) as counter:
        before = counter.world.account("4711").balance
        with pytest.raises(NotPaid, match="TAN"):
            counter.transfer(answers=["yes", "000000"])
        assert counter.asked() == ["POST transfer", "PUT transfer"]
        assert counter.world.account("4711").balance == before
        assert counter.trail()[-1] == "not carried out: 403"


def test_a_confirmation_with_another_payload_is_refused_by_the_bank(tmp_path: Path) -> None:
    with a_counter(tmp_path) as counter:
        registered = counter.payments.transfer(RENT)
        forged = type(registered)(
            registered.method, registered.address, dict(registered.body) | {"amount": 1}, "authorizationToken"
        )
        with pytest.raises(Rejected, match="Nothing was paid"):
            counter.payments.confirm(forged, last_tan(counter.world))
        assert counter.payments.confirm(registered, last_tan(counter.world)) == Done("ACCEPTED")
        with pytest.raises(Uncertain, match="404"):  # it was paid: a second confirmation must not say that nothing was
            counter.payments.confirm(registered, last_tan(counter.world))


def test_a_bank_that_refuses_is_reported(tmp_path: Path) -> None:
    with a_counter(tmp_path, TooManyRequests(times=None, path_contains="transfer")) as counter:
        with pytest.raises(NotPaid, match="too often"):
            counter.transfer()
        assert counter.asked() == ["POST transfer"]
        assert counter.slept == []


def test_a_bank_that_says_nothing_after_the_tan_leaves_nobody_knowing(tmp_path: Path) -> None:
    with a_counter(tmp_path) as counter:
        registered = counter.payments.transfer(RENT)
        counter.bank.faults.append(DropsConnection(path_contains="ctrx"))
        before = counter.world.account("4711").balance
        intent = Intent("transfer: again", lambda _: registered)
        with pytest.raises(NobodyKnows, match="bank's own app"):
            counter.pay(intent)
        # it was paid all the same: exactly once, since nothing was tried again
        assert counter.world.account("4711").balance - before == -850
        assert counter.asked() == ["POST transfer", "PUT transfer"]
        assert counter.trail()[-1].startswith("not known whether it was carried out")


class Stops:
    """An interrupt in the middle of what a person does, or while the bank is thinking."""

    def __init__(self, at: str, *, after: bool = False) -> None:
        self.at, self.after, self.inner = at, after, httpx.HTTPTransport()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        stops = request.method == self.at and "/transfer" in request.url.path
        if stops and not self.after:
            raise KeyboardInterrupt
        response = self.inner.handle_request(request)
        if stops:
            raise KeyboardInterrupt
        return response


def test_an_interrupt_after_the_tan_leaves_nobody_knowing_and_nobody_asked_to_pay_again(tmp_path: Path) -> None:
    with a_counter(tmp_path, transport=cast(httpx.BaseTransport, Stops("PUT", after=True))) as counter:
        before = counter.world.account("4711").balance
        with pytest.raises(NobodyKnows, match="bank's own app") as caught:
            counter.transfer()
        assert "again" not in str(caught.value).replace("before anything is tried again", "")
        assert counter.world.account("4711").balance - before == -850
        assert counter.trail()[-1] == "not known whether it was carried out: interrupted"


def test_an_interrupt_while_the_bank_registers_leaves_nobody_knowing_since_it_may_pay_at_once(tmp_path: Path) -> None:
    with a_counter(tmp_path, transport=cast(httpx.BaseTransport, Stops("POST", after=True))) as counter:
        with pytest.raises(NobodyKnows, match="bank's own app"):
            counter.transfer()
        assert counter.trail() == ["the bank is asked", "not known whether it was carried out: interrupted"]


def test_an_interrupt_at_the_question_for_the_tan_pays_nothing_and_says_so(tmp_path: Path) -> None:
    class Leaves(Typing):
        def ask(self, question: str) -> str:
            if question.startswith("TAN"):
                raise KeyboardInterrupt
            return super().ask(question)

    with a_counter(tmp_path) as counter:
        desk = Desk(counter.vault, "kontist", Leaves(counter.world, ["yes"]), counter.world.clock.now)
        with pytest.raises(GivenUp, match="nothing was paid") as caught:
            desk.carry_out(counter.payments, counter.account, Intent("transfer", lambda bank: bank.transfer(RENT)))
        assert caught.value.exit_status == 130
        assert counter.trail() == ["the bank is asked", "given up: interrupted"]


def test_the_same_payment_after_one_that_was_never_answered_asks_a_person_first(tmp_path: Path) -> None:
    with a_counter(tmp_path) as counter:
        before = counter.world.account("4711").balance
        silent = DropsConnection(path_contains="ctrx")
        counter.bank.faults.append(silent)
        with pytest.raises(NobodyKnows):
            counter.transfer()
        counter.bank.faults.remove(silent)

        with pytest.raises(NotPaid):
            counter.transfer(answers=["no"])
        assert counter.asked() == ["POST transfer", "PUT transfer"]
        assert counter.world.account("4711").balance - before == -850


def test_a_payment_that_was_never_answered_is_asked_about_until_the_same_is_carried_out(tmp_path: Path) -> None:
    """To say no, to give up at the TAN, or a refusal, says nothing of the attempt before."""
    with a_counter(tmp_path) as counter:
        silent = DropsConnection(path_contains="ctrx")
        counter.bank.faults.append(silent)
        with pytest.raises(NobodyKnows):
            counter.transfer()
        counter.bank.faults.remove(silent)

        for answers in (["no"], ["yes", "no"], ["yes", "yes", ""], ["yes", "yes", "000000"], ["no"]):
            with pytest.raises(NotPaid):
                counter.transfer(answers=answers)
        _, person = counter.transfer(answers=["yes", "yes", "tan"])
        assert any("The same payment was begun on" in line for line in person.heard)
        _, again = counter.transfer()
        assert not any("begun on" in line for line in again.heard)


@pytest.mark.parametrize("left", ["the bank is asked", "the TAN is sent"])
def test_what_a_killed_process_left_open_stays_so_after_somebody_gave_up(tmp_path: Path, left: str) -> None:
    with a_counter(tmp_path) as counter:
        begun = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
        counter.vault.note("kontist", "pay: transfer: 850.00 EUR to …3000, from …4711", left, begun)
        for answers in (["no"], ["yes", "yes", ""], ["no"]):
            with pytest.raises(NotPaid):
                counter.transfer(answers=answers)
        _, person = counter.transfer(answers=["yes", "yes", "tan"])
        assert "! The same payment was begun on 2026-03-01 09:30 UTC." in person.heard


def test_a_person_may_pay_again_after_looking_and_another_payment_is_not_asked_about(tmp_path: Path) -> None:
    with a_counter(tmp_path) as counter:
        counter.vault.note(
            "login-of-yesterday", "pay: transfer: 850.00 EUR to …3000, from …4711", "the TAN is sent", counter.world.clock.now()
        )
        _, other = counter.pay(Intent("transfer: 1.00 EUR to …3000", lambda bank: bank.transfer(RENT)))
        assert not any("begun on" in line for line in other.heard)
        done, person = counter.transfer(answers=["yes", "yes", "tan"])
        assert done.status == "ACCEPTED"
        assert any("The same payment was begun on" in line for line in person.heard)
        _, again = counter.transfer()
        assert not any("begun on" in line for line in again.heard)


@pytest.mark.parametrize("status", ["ACCEPTED", "accepted", "SCHEDULED", "ACTIVE"])
def test_a_bank_that_carries_it_out_at_registration_is_reported_as_done(tmp_path: Path, status: str) -> None:
    payments, asked, _ = answering(lambda _: httpx.Response(200, json=REGISTERED | {"status": status}))
    with a_counter(tmp_path) as counter:
        person = Typing(counter.world, ["yes"])
        desk = Desk(counter.vault, "kontist", person, counter.world.clock.now)
        done = desk.carry_out(payments, counter.account, Intent("transfer", lambda bank: bank.transfer(LUNCH)))
        assert done == Done(status.upper())
        assert len(asked) == 1
        assert person.heard[-2:] == ["! The bank asked for no TAN.", f"The bank says {status.upper()}."]
        assert counter.trail()[-1] == f"done: {status.upper()}"


@pytest.mark.parametrize("status", ["EXECUTED", "PENDING", "", 7])
def test_a_registration_in_a_state_that_nobody_described_is_not_known(tmp_path: Path, status: Any) -> None:
    payments, asked, _ = answering(lambda _: httpx.Response(200, json=REGISTERED | {"status": status}))
    with a_counter(tmp_path) as counter:
        desk = Desk(counter.vault, "kontist", Typing(counter.world, ["yes"]), counter.world.clock.now)
        with pytest.raises(NobodyKnows, match="bank's own app") as caught:
            desk.carry_out(payments, counter.account, Intent("transfer", lambda bank: bank.transfer(LUNCH)))
        assert "nothing was paid" not in str(caught.value).lower()
        assert len(asked) == 1


@pytest.mark.parametrize("answered", [[], ["yes"]])
def test_a_person_who_interrupts_a_question_has_paid_nothing(tmp_path: Path, answered: list[str]) -> None:
    class Leaves(Typing):
        def ask(self, question: str) -> str:
            if not self.answers:
                raise KeyboardInterrupt
            return super().ask(question)

    with a_counter(tmp_path) as counter:
        desk = Desk(counter.vault, "kontist", Leaves(counter.world, list(answered)), counter.world.clock.now)
        with pytest.raises(GivenUp, match="nothing was paid"):
            desk.carry_out(counter.payments, counter.account, Intent("transfer", lambda bank: bank.transfer(RENT)))
        assert counter.trail()[-1] == "given up: interrupted"


def test_an_interrupted_cancellation_that_needs_no_tan_may_have_been_carried_out(tmp_path: Path) -> None:
    def interrupted(_: Payments) -> Done:
        raise KeyboardInterrupt

    with a_counter(tmp_path) as counter:
        with pytest.raises(NobodyKnows):
            counter.pay(Intent("timed order 1 cancelled", interrupted), ["yes"])
        assert counter.trail()[-1].startswith("not known")


def test_a_fault_of_ours_after_the_tan_is_no_reason_to_pay_again(tmp_path: Path) -> None:
    def faulty(_: httpx.Request) -> httpx.Response:
        raise RuntimeError("850.00 EUR")

    payments, _, _ = answering(
        lambda one: faulty(one) if one.method == "PUT" else httpx.Response(200, json=REGISTERED | {"amount": 1250})
    )
    with a_counter(tmp_path) as counter:
        desk = Desk(counter.vault, "kontist", Typing(counter.world, ["yes", "012345"]), counter.world.clock.now)
        with pytest.raises(NobodyKnows, match="RuntimeError at") as caught:
            desk.carry_out(payments, counter.account, Intent("transfer", lambda bank: bank.transfer(LUNCH)))
        assert "850.00" not in str(caught.value)


class LosesTheVault(Vault):
    """Writes so many lines, and then no more."""

    lines = 0

    def note(self, *arguments: Any) -> None:
        if self.lines == 0:
            raise VaultBroken("The vault cannot be used")
        self.lines -= 1
        super().note(*arguments)


@pytest.mark.parametrize(("lines", "paid"), [(0, False), (1, False), (2, True)])
def test_what_the_bank_did_is_reported_whatever_becomes_of_the_trail(tmp_path: Path, lines: int, paid: bool) -> None:
    with a_counter(tmp_path) as counter:
        before = counter.world.account("4711").balance
        vault = LosesTheVault(tmp_path / "other.sqlite", None)
        vault.lines = lines
        person = Typing(counter.world, ["yes", "tan"])
        desk = Desk(vault, "kontist", person, counter.world.clock.now)
        intent = Intent("transfer", lambda bank: bank.transfer(RENT))
        if paid:
            assert desk.carry_out(counter.payments, counter.account, intent).status == "ACCEPTED"
            assert person.heard[-2] == "The bank says ACCEPTED."
            assert person.heard[-1].startswith("! The audit trail lacks the line `done: ACCEPTED`")
        else:
            with pytest.raises(NotPaid, match="nothing was paid"):
                desk.carry_out(counter.payments, counter.account, intent)
        assert (counter.world.account("4711").balance < before) is paid
        vault.close()


def test_a_bank_that_is_down_is_asked_once(tmp_path: Path) -> None:
    with a_counter(tmp_path, ServerError(times=None, path_contains="transfer")) as counter:
        with pytest.raises(NobodyKnows, match="bank's own app"):
            counter.transfer()
        assert counter.asked() == ["POST transfer"]
        assert counter.slept == []


def test_a_bank_that_repeats_another_amount_has_to_be_confirmed_twice(tmp_path: Path) -> None:
    class Slip(httpx.BaseTransport):
        """The slip of the vendor document's own sample."""

        def __init__(self) -> None:
            self.inner = httpx.HTTPTransport()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = self.inner.handle_request(request)
            if request.method == "POST" and request.url.path.endswith("/transfer"):
                response.read()
                return httpx.Response(200, content=response.content.replace(b'"amount": 85000', b'"amount": 1'))
            return response

        def close(self) -> None:
            self.inner.close()

    with a_counter(tmp_path, transport=Slip()) as counter:
        with pytest.raises(NotPaid):
            counter.transfer(answers=["yes", "no"])
        done, person = counter.transfer(answers=["yes", "yes", "tan"])
        assert done.status == "ACCEPTED"
        assert "! the bank repeats another amount: 0.01 EUR" in person.heard


def test_a_standing_order_lives_from_creation_to_its_end(tmp_path: Path) -> None:
    with a_counter(tmp_path) as counter:
        today = counter.world.clock.now().date()

        def listed() -> dict[str, Any]:
            return counter.client.standing_orders(counter.account).rows.to_pylist()[-1]

        create = Intent(
            "standing order", lambda bank: bank.standing_order(RENT, "MONTHLY", today + timedelta(3), today + timedelta(400))
        )
        done, _ = counter.pay(create)
        assert (done.status, listed()["order_id"], listed()["amount_cents"]) == ("ACTIVE", done.order_id, 85_000)
        assert done.order_id is not None
        order_id = done.order_id
        change = {"amount": 90_000, "reoccurrence": "QUARTERLY", "note": "Miete neu"}
        counter.pay(Intent("change", lambda bank: bank.change_standing_order(order_id, change)))
        assert (listed()["amount_cents"], listed()["reoccurrence"], listed()["description"]) == (90_000, "QUARTERLY", "Miete neu")
        removed = {"note": None, "lastExecutionDate": None}
        counter.pay(Intent("change", lambda bank: bank.change_standing_order(order_id, removed)))
        assert (listed()["description"], listed()["last_execution_date"]) == (None, None)
        with pytest.raises(NotPaid):
            counter.pay(Intent("cancel", lambda bank: bank.cancel_standing_order(order_id)), ["yes", "999999"])
        assert listed()["status"] == "ACTIVE"
        counter.pay(Intent("cancel", lambda bank: bank.cancel_standing_order(order_id)))
        assert listed()["status"] == "CANCELED"


def test_a_timed_order_is_listed_until_it_is_cancelled(tmp_path: Path) -> None:
    with a_counter(tmp_path) as counter:
        day = counter.world.clock.now().date() + timedelta(5)

        def listed() -> list[str]:
            return [row["order_id"] for row in counter.client.timed_orders(counter.account).rows.to_pylist()]

        before = listed()
        done, _ = counter.pay(Intent("timed order", lambda bank: bank.timed_order(RENT, day)))
        assert (done.status, set(listed()) - set(before)) == ("SCHEDULED", {done.order_id})
        assert done.order_id is not None
        order_id = done.order_id
        assert counter.trail()[-1] == f"done: SCHEDULED, order {order_id}"
        cancelled, person = counter.pay(Intent("cancel", lambda bank: bank.cancel_timed_order(order_id)), ["yes"])
        assert (cancelled.status, listed()) == ("CANCELED", before)
        assert len([line for line in person.heard if "TAN" in line]) == 0
