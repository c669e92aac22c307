-- The leg of a bank account is on the ledger account of another one, or money is booked to a bank account on which it did not move.
select postings.account_id, postings.ledger_account
from (select distinct account_id, leg, ledger_account from ledger.postings) as postings
left join ledger.accounts on accounts.account_id = postings.account_id and accounts.ledger_account = postings.ledger_account
where (postings.leg = 1) is distinct from (accounts.account_id is not null)
    or (postings.leg > 1 and postings.ledger_account in (select ledger_account from ledger.accounts))
