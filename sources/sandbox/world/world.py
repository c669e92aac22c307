"""The world that both banks serve. It knows every balance, and it can be changed while the banks are open."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from threading import RLock
from typing import Any, Literal

from .life import LONGEST_LAG, days_of_life, id_by_hand, spread
from .plans import PLANS
from .records import Account, Split, Totals, Transaction
from .values import BERLIN, EPOCH, to_cents

Dialect = Literal["openapi", "live"]
Amount = Decimal | str | int
_SHARES = {("kontist", 0): 9, ("kontist", 1): 1, ("kontomatik", 0): 30, ("kontomatik", 1): 20, ("kontomatik", 2): 10} | {
    ("kontomatik", 3): 20,
    ("kontomatik", 4): 5,
    ("kontomatik", 5): 15,
}


class Clock:
    """The sandbox's own time: real time, moved by a difference that a test may raise."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        """Returns the time in UTC, aware. Tokens, consents and quotas follow it; the books do not (see `World.live`)."""
        return datetime.now(UTC) + self._ahead

    def day(self) -> date:
        """Returns the banks' day: from 22:00 or 23:00 UTC on it is the next one."""
        return self.now().astimezone(BERLIN).date()

    def advance(self, by: timedelta) -> datetime:
        """Moves time on. No row appears, moves or is booked by that."""
        self._ahead += by
        return self.now()


class World:
    """Two customers, eight accounts in EUR, PLN and CZK, and all they paid since 2024-09-01.

    The same seed gives the same history on every day: the world of tomorrow holds all that is booked today.
    `transactions` asks for exactly this number of booked rows at each bank instead, evenly over two years and none pending,
    for measuring. Every method may be called while the banks answer.
    """

    def __init__(self, seed: int = 7, *, today: date | None = None, transactions: int | None = None) -> None:
        real = Clock().day()
        self.seed = seed
        self.today = real if today is None else today
        """The last day whose payments are in the books."""
        if self.today < EPOCH:
            raise ValueError(f"the accounts were opened on {EPOCH}: no world before that")
        self.clock = Clock(self.today - real)
        self.lock = RLock()
        self._wanted = transactions
        self.imports: dict[str, list[datetime]] = {}
        """When each bank account was imported at Kontomatik, over all tokens; its quota is counted from this."""
        self.revoked: set[str] = set()
        """Tokens ended before their time, by their own id."""
        self.ended: dict[str, int] = {}
        """By scope: tokens given up to this stamp are no longer good."""
        self.standing_orders: dict[tuple[str, object], dict[str, Any]] = {}
        """By account key and order id: Kontist's standing orders that were made or changed since."""
        self.timed_orders: dict[tuple[str, object], dict[str, Any] | None] = {}
        """The same of its timed orders; None for one that was cancelled."""
        self.transfers: list[tuple[str, dict[str, Any]]] = []
        """By account key: the transfers that Kontist's customers have ordered, as its live service shows them."""
        self.memos: list[tuple[Transaction, str]] = []
        """Rows of Kontist's live service that are no movements, each with its `source`. They are in no account and no total."""
        self.notes: dict[int, str] = {}
        """By transaction: what the customer wrote beside it. Kontist's live service alone shows it."""
        self.text_messages: list[str] = []
        """What Kontist has sent to its customer's phone: TANs."""
        self.accounts = [Account(plan, self.lock, self._history) for plan in PLANS]
        self._by_hand = 0

    # ---- credentials: made up, and of no use anywhere else

    @property
    def secret(self) -> bytes:
        """Signs tokens. From the seed, so that a token outlives the process that gave it."""
        return sha256(f"kontoledger sandbox, no secret at all, {self.seed}".encode()).digest()

    @property
    def kontist_email(self) -> str:
        return "ada@example.test"

    @property
    def kontist_password(self) -> str:
        return f"sandbox-password-{self.seed}"

    @property
    def kontist_client_id(self) -> str:
        return f"sandbox-client-{self.seed}"

    @property
    def kontist_client_secret(self) -> str:
        return f"sandbox-client-secret-{self.seed}"

    @property
    def kontomatik_api_key(self) -> str:
        return f"sandbox-api-key-{self.seed}"

    # ---- truth

    def account(self, name: str) -> Account:
        """Returns the account with this key, number or name. Raises `KeyError`."""
        for account in self.accounts:
            if name in (account.key, account.number, account.name):
                return account
        raise KeyError(name)

    def totals(self, dialect: Dialect | None = None) -> dict[tuple[str, str], Totals]:
        """Returns what each account holds, by bank and key.

        With a dialect, as that dialect can show it: `openapi` has no pending rows at Kontomatik, and `live` has no
        number on an account without IBAN, so that its name is the key.
        """
        with self.lock:
            found: dict[tuple[str, str], Totals] = {}
            for account in self.accounts:
                key, totals = account.key, account.totals()
                if account.bank == "kontomatik" and dialect == "openapi":
                    totals = totals._replace(pending_count=0, pending_sum=Decimal("0.00"))
                if account.bank == "kontomatik" and dialect == "live" and account.iban is None:
                    key = account.name
                found[account.bank, key] = totals
            return found

    def find(self, id_: int) -> Transaction:
        """Returns the transaction with this id, at either bank. Raises `KeyError`."""
        with self.lock:
            for account in self.accounts:
                if id_ in account.rows:
                    return account.rows[id_]
        raise KeyError(id_)

    # ---- changes

    def append(
        self,
        account: Account | str,
        *,
        amount: Amount,
        day: date | None = None,
        pending: bool = False,
        party: str | None = "Example Payer",
        party_iban: str | None = None,
        description: str | None = "added by hand",
        kind: str | None = None,
        labels: tuple[str, ...] = (),
    ) -> Transaction:
        """Adds a row with the highest id so far, booked on `day` (today, if not given) or pending since then.

        A day in the past is a late booking: later running balances move, and nothing else does.
        """
        with self._changing(account) as own:
            day = self._day(day)
            row = Transaction(self._new_id(own), own, day, None if pending else day, to_cents(amount))
            row.party, row.party_iban, row.description = party, party_iban, description
            row.kind, row.labels = kind, labels
            if own.bank == "kontist" and not pending and kind is None:
                row.kind = "SEPA_CREDIT_TRANSFER"
            row.minute = 1 if pending else 0
            own.rows[row.id] = row
            return row

    def insert(self, account: Account | str, day: date, amount: Amount) -> Transaction:
        """Adds a booking that comes late, on a day in the past: every later running balance moves."""
        return self.append(account, amount=amount, day=day, description="booked late")

    def book(self, pending: Transaction, amount: Amount | None = None, day: date | None = None) -> Transaction:
        """Books what was pending: another id, perhaps another amount, and the pending row is gone (observed)."""
        with self._changing(pending.account) as own:
            if pending.booked_on is not None:
                raise ValueError("this one is booked already")
            del own.rows[pending.id]
            row = replace(pending.settles or pending)
            row.id, row.booked_on, row.minute, row.settles = self._new_id(own), self._day(day), 0, None
            row.cents = pending.cents if amount is None else to_cents(amount)
            if own.bank == "kontist":
                row.kind = row.kind or "CARD_TRANSACTION"
            own.rows[row.id] = row
            return row

    def correct(
        self,
        row: Transaction,
        *,
        amount: Amount | None = None,
        description: str | None = None,
        party: str | None = None,
        party_iban: str | None = None,
        day: date | None = None,
        category: str | None = None,
        labels: tuple[str, ...] | None = None,
    ) -> Transaction:
        """Changes what is given, in place; the id stays. `day` moves the booking day, or a pending row's day."""
        with self._changing(row.account):
            row.cents = row.cents if amount is None else to_cents(amount)
            row.description = row.description if description is None else description
            row.party = row.party if party is None else party
            row.party_iban = row.party_iban if party_iban is None else party_iban
            row.category = row.category if category is None else category
            row.labels = row.labels if labels is None else labels
            if day is not None and row.booked_on is not None:
                row.booked_on = self._day(day)
                row.day = min(row.day, row.booked_on)
            elif day is not None:
                row.day = self._day(day)
            return row

    def divide(self, row: Transaction, *parts: tuple[Amount, str | None]) -> Transaction:
        """Makes splits with these amounts and categories in place of those that the row has; without any it is whole again."""
        with self._changing(row.account):
            row.splits = tuple(Split(number, to_cents(amount), category) for number, (amount, category) in enumerate(parts, 1))
            return row

    def delete(self, row: Transaction) -> None:
        """Deletes a row, booked or pending, as the bank does."""
        with self._changing(row.account) as own:
            del own.rows[row.id]

    def transfer(
        self,
        account: Account | str,
        *,
        amount: Amount,
        party: str = "Example Payee",
        party_iban: str | None = None,
        status: str = "CONFIRMED",
        kind: str = "SEPA_TRANSFER",
    ) -> dict[str, Any]:
        """Orders a transfer at Kontist; returns what its live service lists. `append` books it; set its `status` then."""
        with self._changing(account) as own:
            number = 500 + len(self.transfers)
            sent = {
                "id": number,
                "type": kind,
                "status": status,
                "amount": abs(to_cents(amount)),
                "e2eId": f"E-transfer-{number}",
            }
            sent |= {"recipientName": party, "recipientIban": party_iban or own.iban, "purpose": "ordered by hand"}
            self.transfers.append((own.key, sent))
            return sent

    def memo(
        self,
        account: Account | str,
        *,
        amount: Amount,
        day: date | None = None,
        source: str = "USER",
        kind: str = "EXTERNAL_TRANSACTION_CASH",
        party: str | None = "Flea market",
        pending: bool = False,
    ) -> Transaction:
        """Adds a row that moves no money: typed in by the customer, or an event (`source` SOLARIS). REST does not show it."""
        with self._changing(account) as own:
            day = self._day(day)
            row = Transaction(self._new_id(own), own, day, None if pending else day, to_cents(amount), party, kind=kind)
            self.memos.append((row, source))
            return row

    def annotate(self, row: Transaction, note: str) -> None:
        """Writes the customer's note beside a row."""
        with self._changing(row.account):
            self.notes[row.id] = note

    def forget(self, memo: Transaction) -> None:
        """Deletes a row that `memo` has added."""
        with self._changing(memo.account):
            self.memos = [one for one in self.memos if one[0] is not memo]

    def live(self, days: int = 1) -> date:
        """Moves the clock on: pending rows are booked, and people pay and earn. Returns the new `today`.

        Rows changed by hand stay as they are. A world made of a number of `transactions` gets no new ones.
        """
        with self.lock:
            due = self.today + timedelta(days=days)
            if self.clock.day() < due:
                self.clock.advance(due - self.clock.day())
            if self._wanted is None:
                for account in self.accounts:
                    self._live(account, due)
            self.today = due
            return due

    def _live(self, account: Account, until: date) -> None:
        known = account.rows
        for row in list(known.values()):
            if row.settles is not None and row.settles.booked_on is not None and row.settles.booked_on <= until:
                del known[row.id]
                known[row.settles.id] = row.settles
        # A payment without a card is invisible until it is booked, so look at the last days again.
        first = max(EPOCH, self.today - timedelta(days=LONGEST_LAG))
        seen = set()
        for row in days_of_life(self.seed, account, first, self.today, self.today):
            seen |= {row.id, row.id if row.settles is None else row.settles.id}
        for row in days_of_life(self.seed, account, first, until, until):
            if row.id not in seen:
                known[row.id] = row
        account.changed()

    # ---- the inside

    def _history(self, account: Account) -> Iterator[Transaction]:
        if self._wanted is None:
            return days_of_life(self.seed, account, EPOCH, self.today, self.today)
        before, own, whole = 0, 0, 0
        for (bank, slot), share in _SHARES.items():
            if bank == account.bank:
                whole += share
                before += share if slot < account.plan.slot else 0
                own = share if slot == account.plan.slot else own
        count = self._wanted * (before + own) // whole - self._wanted * before // whole
        return spread(self.seed, account, count, self.today)

    def _new_id(self, account: Account) -> int:
        self._by_hand += 1
        return id_by_hand(account.plan, self.clock.day(), self._by_hand)

    def _day(self, day: date | None) -> date:
        today = self.clock.day()
        if day is not None and day > today:
            raise ValueError("nothing is booked in the future")
        return day or today

    @contextmanager
    def _changing(self, account: Account | str) -> Iterator[Account]:
        with self.lock:
            own = self.account(account) if isinstance(account, str) else account
            yield own
            own.changed()
