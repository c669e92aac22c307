-- One row per entry and account of the double entry that closed months and the ledger differ by: exports book it on the first open day.
-- grain:  account_id, kind, entry, ledger_account, currency
-- checks: not_null(booked_on, movement_on, amount, is_bank), accepted(kind, 'transaction', 'opening', 'difference'),
--         accepted(cause, 'late', 'changed', 'removed', 'reclassified'), joins(account_id, accounts)

with

closed_through  as (select * from intermediate.int_closed_through),
postings        as (select * from ledger.postings),
balance_entries as (select * from ledger.balance_entries),
closed          as (select * from ledger.closed_postings),

-- The closed days as the ledger has them now
shown_legs as (
    select
        postings.account_id,
        'transaction'                                               as kind,
        postings.transaction_id                                     as entry,
        postings.booked_on                                          as movement_on,
        postings.ledger_account,
        postings.currency,
        postings.amount,
        postings.leg = 1                                            as is_bank
    from postings
    inner join closed_through using (account_id)
    where postings.booked_on <= closed_through.closed_through
    union all
    select
        balance_entries.account_id,
        balance_entries.kind,
        balance_entries.entry,
        balance_entries.booked_on                                   as movement_on,
        unnest([balance_entries.ledger_account, balance_entries.other_ledger_account]) as ledger_account,
        balance_entries.currency,
        unnest([balance_entries.amount, -balance_entries.amount])   as amount,
        unnest([true, false])                                       as is_bank
    from balance_entries
    inner join closed_through using (account_id)
    where balance_entries.booked_on <= closed_through.closed_through
),

both_views as (
    select *, true as is_current from shown_legs
    union all
    select account_id, kind, entry, movement_on, ledger_account, currency, -amount as amount, is_bank, false as is_current
    from closed
),

entries as (
    select
        account_id,
        kind,
        entry,
        -- now where it is in a closed month, else then
        coalesce(max(movement_on) filter (where is_current), max(movement_on)) as movement_on,
        case
            when not bool_or(is_current) then 'removed'
            when bool_and(is_current) then 'late'
            when sum(amount) filter (where is_bank) <> 0 then 'changed'
            else 'reclassified'
        end                                                         as cause
    from both_views
    group by account_id, kind, entry
),

netted as (
    select
        account_id,
        kind,
        entry,
        ledger_account,
        currency,
        sum(amount)                                                 as amount,
        bool_or(is_bank)                                            as is_bank
    from both_views
    group by account_id, kind, entry, ledger_account, currency
    having sum(amount) <> 0
),

final as (
    select
        netted.account_id,
        netted.kind,
        netted.entry,
        case when netted.kind = 'transaction' then netted.entry end as transaction_id,
        entries.cause,
        entries.movement_on,
        closed_through.closed_through + 1                           as booked_on,
        netted.ledger_account,
        cast(netted.amount as decimal(18, 2))                       as amount,
        netted.currency,
        netted.is_bank
    from netted
    inner join entries using (account_id, kind, entry)
    inner join closed_through using (account_id)
)

select * from final
order by account_id, kind, entry, ledger_account, currency
