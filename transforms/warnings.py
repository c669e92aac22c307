"""Warnings of a correct ledger: money in transit for too long, days that the bank's balances contradict.

No check fails: such a ledger is right, and published. A person should look at the accounts themselves.
"""

import duckdb

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
_ASKED = (
    (
        "select count(*) from ledger.in_transit where overdue",
        "{number} internal transfer{s} unmatched for more than ten days: the other account is not read, it is no transfer, or the"
        " two amounts of a confirmed pair differ (`in_transit`)",
    ),
    (
        "select count(distinct account_id) from ledger.coverage where difference_amount is not null",
        "{number} account{s} whose bank moved more or less than the ledger holds: `prove ACCOUNT --from DAY --to DAY` names day"
        " and amount (`coverage`)",
    ),
    (
        "select count(*) from ledger.transfers where status = 'suggested'",
        "{number} suggested transfer{s} to confirm or reject in seeds/transfers.csv (`transfers`)",
    ),
    (
        f"{_DECIDED} where gone.transaction_id is null or came.transaction_id is null",
        "{number} row{s} of seeds/transfers.csv without effect: the ledger has no transaction of that id",
    ),
    (
        f"{_DECIDED} where gone.amount >= 0 or came.amount <= 0 or gone.status <> 'booked' or came.status <> 'booked'",
        "{number} row{s} of seeds/transfers.csv without effect: the first id must be of money that left, the second of money that"
        " came in, both booked",
    ),
    (
        f"{_DECIDED} where gone.account_id = came.account_id and gone.amount < 0 and came.amount > 0",
        "{number} row{s} of seeds/transfers.csv without effect: both ids are of one account",
    ),
    (
        f"{_DECIDED} left join ledger.transfers as pairs on pairs.out_transaction_id = gone.transaction_id"
        " and pairs.in_transaction_id = came.transaction_id"
        " where decided.decision = 'confirm' and pairs.transfer_id is null and gone.account_id <> came.account_id"
        " and gone.amount < 0 and came.amount > 0 and gone.status = 'booked' and came.status = 'booked'",
        "{number} row{s} of seeds/transfers.csv without effect: an earlier row confirms one of the two with another",
    ),
    (
        "select count(*) from seeds.transactions left join ledger.transactions using (transaction_id)"
        " where transactions.status is distinct from 'booked'",
        "{number} row{s} of seeds/transactions.csv without effect: the ledger has no booked transaction of that id",
    ),
    (
        "select count(*) from seeds.transactions inner join ledger.transfers"
        " on transaction_id in (out_transaction_id, in_transaction_id) and transfers.status = 'matched'"
        " anti join (select transaction_id from ledger.postings where leg = 4) as resolved using (transaction_id)",
        "{number} row{s} of seeds/transactions.csv without effect: it is one end of a matched transfer, of which nothing is left"
        " over there; reject the pair in seeds/transfers.csv first",
    ),
    (
        "select count(distinct transaction_id) from ledger.transaction_splits where status = 'unequal'",
        "{number} transaction{s} booked as a whole, because the bank's splits do not sum to the amount (`transaction_splits`)",
    ),
    (
        _OLD_RESERVATIONS,
        "{number} reservation{s} older than six weeks: the bank has neither booked nor released {them}, and no forecast counts"
        " {them} (`transactions`, `pending`)",
    ),
    (
        "select count(*) from seeds.rules anti join ledger.accounts using (account_id) where account_id is not null",
        "{number} row{s} of seeds/rules.csv without effect: the ledger has no account of that id",
    ),
    (
        "select count(*) from seeds.accounts as own where not exists (select 1 from ledger.accounts"
        " where (own.display_name is null or own.display_name = accounts.display_name)"
        " and (own.ledger_account is null or own.ledger_account = accounts.ledger_account))",
        "{number} row{s} of seeds/accounts.csv without effect: no account has that id or end of IBAN, or several, or"
        " an earlier row names it",
    ),
)


def notices(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Returns sentences with numbers, never a row, about the attached `ledger` and the seeds that it was built with."""
    warnings = []
    for query, sentence in _ASKED:
        ((number,),) = connection.execute(query).fetchall()
        if number:
            warnings.append(sentence.format(number=number, s="" if number == 1 else "s", them="it" if number == 1 else "them"))
    return warnings
