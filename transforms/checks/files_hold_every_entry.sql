-- An imported file has lost, doubled or altered an entry since it was imported, or an entry that its bank shows has no transaction of the bank.
with

files as (
    select file_id, entries, money_in, money_out
    from raw.file.files
    where undone_at is null
),

held as (
    select
        file_id,
        count(*) as entries,
        count(distinct transaction_id) as ids,
        coalesce(sum(amount) filter (where amount > 0), 0) as money_in,
        coalesce(sum(amount) filter (where amount < 0), 0) as money_out
    from raw.file.transactions
    where _dlt_valid_to is null
    group by file_id
),

ours as (select file_id, count(*) as entries, sum(amount) as amount from ledger.file_entries group by file_id)

select file_id
from files
full outer join held using (file_id)
left join ours using (file_id)
where coalesce(held.entries, 0) is distinct from files.entries
    or coalesce(held.ids, 0) is distinct from files.entries
    or coalesce(ours.entries, 0) is distinct from files.entries
    or coalesce(held.money_in, 0) is distinct from files.money_in
    or coalesce(held.money_out, 0) is distinct from files.money_out
    or coalesce(ours.amount, 0) is distinct from files.money_in + files.money_out
union all
select entries.file_id
from ledger.file_entries as entries
left join ledger.transactions as banks on banks.transaction_id = entries.bank_transaction_id
where (entries.status = 'shown') is distinct from (banks.transaction_id is not null)
    or banks.amount <> entries.amount
    or banks.booked_on <> entries.booked_on
    or banks.source = 'file'
union all
-- two equal payments of a file are two of the bank
select any_value(file_id)
from ledger.file_entries
where bank_transaction_id is not null
group by bank_transaction_id
having count(distinct transaction_id) > 1
