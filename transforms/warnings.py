"""Warnings of a correct ledger: money in transit for too long, days that the bank's balances contradict.

No check fails: such a ledger is right, and published. A person should look at the accounts themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb


@dataclass(frozen=True)
class Warned:
    """One kind of warning: the query that counts its cases, and the sentence about them."""

    name: str
    query: str
    sentence: str

    @property
    def meaning(self) -> str:
        """Returns the sentence without a number."""
        plain = self.sentence.removeprefix("{number} ").format(s="s", them="them")
        return f"{plain[0].upper()}{plain[1:]}."

    def about(self, number: int) -> str:
        """Returns the sentence for `number` cases."""
        return self.sentence.format(number=number, s="" if number == 1 else "s", them="it" if number == 1 else "them")


_DECIDED = (
    "select count(*) from seeds.transfers as decided"
    " left join ledger.transactions as gone on gone.transaction_id = decided.out_transaction_id"
    " left join ledger.transactions as came on came.transaction_id = decided.in_transaction_id"
)
_OLD_RESERVATIONS = """
select count(*)
from ledger.transactions
inner join (
    select account_id, list(cast(finished_at as date) order by finished_at desc) as reads
    from ledger.imports
    where status = 'complete' and finished_at is not null
    group by account_id
) as reads using (account_id)
-- reported once: by the first complete read that finds it so old
where transactions.status = 'pending' and reads[1] - transaction_on > 42
    and (reads[2] is null or reads[2] - transaction_on <= 42)
"""
WARNINGS = (
    Warned(
        "transfers_overdue",
        "select count(*) from ledger.in_transit where overdue",
        "{number} internal transfer{s} unmatched for more than ten days: the other account is not read, it is no transfer, or the"
        " two amounts of a confirmed pair differ (`in_transit`)",
    ),
    Warned(
        "bank_differs",
        "select count(distinct account_id) from ledger.coverage where difference_amount is not null",
        "{number} account{s} whose bank moved more or less than the ledger holds: `prove ACCOUNT --from DAY --to DAY` names day"
        " and amount (`coverage`)",
    ),
    Warned(
        "transfers_suggested",
        "select count(*) from ledger.transfers where status = 'suggested'",
        "{number} suggested transfer{s} to confirm or reject in seeds/transfers.csv (`transfers`)",
    ),
    Warned(
        "seed_transfers_unknown",
        f"{_DECIDED} where gone.transaction_id is null or came.transaction_id is null",
        "{number} row{s} of seeds/transfers.csv without effect: the ledger has no transaction of that id",
    ),
    Warned(
        "seed_transfers_direction",
        f"{_DECIDED} where gone.amount >= 0 or came.amount <= 0 or gone.status <> 'booked' or came.status <> 'booked'",
        "{number} row{s} of seeds/transfers.csv without effect: the first id must be of money that left, the second of money that"
        " came in, both booked",
    ),
    Warned(
        "seed_transfers_one_account",
        f"{_DECIDED} where gone.account_id = came.account_id and gone.amount < 0 and came.amount > 0",
        "{number} row{s} of seeds/transfers.csv without effect: both ids are of one account",
    ),
    Warned(
        "seed_transfers_taken",
        f"{_DECIDED} left join ledger.transfers as pairs on pairs.out_transaction_id = gone.transaction_id"
        " and pairs.in_transaction_id = came.transaction_id"
        " where decided.decision = 'confirm' and pairs.transfer_id is null and gone.account_id <> came.account_id"
        " and gone.amount < 0 and came.amount > 0 and gone.status = 'booked' and came.status = 'booked'",
        "{number} row{s} of seeds/transfers.csv without effect: an earlier row confirms one of the two with another",
    ),
    Warned(
        "seed_transactions_unknown",
        "select count(*) from seeds.transactions left join ledger.transactions using (transaction_id)"
        " where transactions.status is distinct from 'booked'",
        "{number} row{s} of seeds/transactions.csv without effect: the ledger has no booked transaction of that id",
    ),
    Warned(
        "seed_transactions_matched",
        "select count(*) from seeds.transactions inner join ledger.transfers"
        " on transaction_id in (out_transaction_id, in_transaction_id) and transfers.status = 'matched'"
        " anti join (select transaction_id from ledger.postings where leg = 4) as resolved using (transaction_id)",
        "{number} row{s} of seeds/transactions.csv without effect: it is one end of a matched transfer, of which nothing is left"
        " over there; reject the pair in seeds/transfers.csv first",
    ),
    Warned(
        "splits_unequal",
        "select count(distinct transaction_id) from ledger.transaction_splits where status = 'unequal'",
        "{number} transaction{s} booked as a whole, because the bank's splits do not sum to the amount (`transaction_splits`)",
    ),
    Warned(
        "reservations_old",
        _OLD_RESERVATIONS,
        "{number} reservation{s} older than six weeks: the bank has neither booked nor released {them}, and no forecast counts"
        " {them} (`transactions`, `pending`)",
    ),
    Warned(
        "seed_rules_unknown",
        "select count(*) from seeds.rules anti join ledger.accounts using (account_id) where account_id is not null",
        "{number} row{s} of seeds/rules.csv without effect: the ledger has no account of that id",
    ),
    Warned(
        "seed_accounts_unknown",
        "select count(*) from seeds.accounts as own where not exists (select 1 from ledger.accounts"
        " where (own.display_name is null or own.display_name = accounts.display_name)"
        " and (own.ledger_account is null or own.ledger_account = accounts.ledger_account))",
        "{number} row{s} of seeds/accounts.csv without effect: no account has that id or end of IBAN, or several, or"
        " an earlier row names it",
    ),
)


def counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Returns the number of cases of each warning, of the attached `ledger` and the seeds that it was built with."""
    found = {}
    for one in WARNINGS:
        ((number,),) = connection.execute(one.query).fetchall()
        found[one.name] = int(number)
    return found


def sentences(counted: Mapping[str, int]) -> list[str]:
    """Returns a sentence for each warning with a case: with its number, never a row."""
    return [one.about(counted[one.name]) for one in WARNINGS if counted[one.name]]


def notices(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Returns sentences with numbers, never a row, about the attached `ledger` and the seeds that it was built with."""
    return sentences(counts(connection))
