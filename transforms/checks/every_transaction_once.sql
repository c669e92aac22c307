-- The ledger does not hold every current transaction exactly once: one is missing, repeated, or of another amount.
with

shown as (
    select 'kontist' as source, account_id, transaction_id, 'EUR' as currency, cast(amount_cents as bigint) as cents
    from raw.kontist.transactions
    where _dlt_valid_to is null
    union all
    select 'kontomatik', account_id, transaction_id, currency, cast(cast(amount as decimal(38, 2)) * 100 as bigint)
    from raw.kontomatik.transactions
    where _dlt_valid_to is null
    union all
    -- several files may hold one entry, and what a bank shows itself is there by its own row (`files_hold_every_entry`)
    select 'file', account_id, transaction_id, currency, cast(cast(any_value(amount) as decimal(38, 2)) * 100 as bigint)
    from raw.file.transactions
    where _dlt_valid_to is null
        and transaction_id not in (select transaction_id from ledger.file_entries where status <> 'counted')
    group by account_id, transaction_id, currency
),

banks as (
    select source, account_id, currency, count(*) as transactions, sum(cents) as cents, sum(hash(transaction_id)) as ids
    from shown
    group by all
),

ours as (
    select
        source,
        account_id,
        currency,
        count(*) as transactions,
        sum(cast(cast(amount as decimal(38, 2)) * 100 as bigint)) as cents,
        sum(hash(transaction_id)) as ids
    from ledger.transactions
    group by all
)

select account_id, currency
from banks
full outer join ours using (source, account_id, currency)
where banks.transactions is distinct from ours.transactions
    or banks.cents is distinct from ours.cents
    or banks.ids is distinct from ours.ids
