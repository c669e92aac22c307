-- One row per entry and account of the double entry that closed months and the ledger differ by: exports book it on the first open day.
-- grain:  account_id, kind, entry, ledger_account, currency
-- checks: not_null(booked_on, movement_on, amount, is_bank), accepted(kind, 'transaction', 'opening', 'difference'),
--         accepted(cause, 'late', 'changed', 'removed', 'reclassified'), joins(account_id, accounts)

with

closed_through  as (select * from intermediate.int_closed_through),
postings        as (select * from ledger.postings),
balance_entries as (select * from ledger.balance_entries),
closed          as (select * from ledger.closed_postings),

-- Legs of the ledger now (sign 1), and legs as they were closed (-1)
legs as (
    select
        account_id,
        'transaction'                                               as kind,
        transaction_id                                              as entry,
        booked_on                                                   as movement_on,
        ledger_account,
        currency,
        amount,
        leg = 1                                                     as is_bank,
        1                                                           as sign
    from postings
    union all
    select
        account_id,
        kind,
        entry,
        booked_on                                                   as movement_on,
        unnest([ledger_account, other_ledger_account])              as ledger_account,
        currency,
        unnest([amount, -amount])                                   as amount,
        unnest([true, false])                                       as is_bank,
        1                                                           as sign
    from balance_entries
    union all
    select account_id, kind, entry, movement_on, ledger_account, currency, amount, is_bank, -1 as sign
    from closed
),

both_views as (
    select legs.*, closed_through.closed_through
    from legs
    inner join closed_through using (account_id)
    where legs.movement_on <= closed_through.closed_through or legs.sign = -1
),

-- Nearly every closed day is unchanged. Count, sum and hashes of its legs show it, so single legs are not compared
differing_days as (
    select account_id, movement_on
    from both_views
    group by account_id, movement_on
    having sum(sign) <> 0
        or sum(sign * amount) <> 0
        or sum(sign * cast(hash(kind, entry, ledger_account, currency, amount) as hugeint)) <> 0
),

differing_entries as (
    select distinct account_id, kind, entry
    from both_views
    semi join differing_days using (account_id, movement_on)
),

-- All days of an entry on a changed day, because an entry may have moved
netted as (
    select
        account_id,
        kind,
        entry,
        ledger_account,
        currency,
        closed_through,
        max(movement_on) filter (where sign = 1)                    as shown_on,
        max(movement_on)                                            as known_on,
        bool_or(sign = 1)                                           as is_shown,
        bool_or(sign = -1)                                          as is_closed,
        bool_or(is_bank)                                            as is_bank,
        sum(sign * amount)                                          as amount
    from both_views
    semi join differing_entries using (account_id, kind, entry)
    group by all
),

final as (
    select
        account_id,
        kind,
        entry,
        case when kind = 'transaction' then entry end               as transaction_id,
        case
            when not bool_or(is_shown) over whole_entry then 'removed'
            when not bool_or(is_closed) over whole_entry then 'late'
            when sum(amount) filter (where is_bank) over whole_entry <> 0 then 'changed'
            else 'reclassified'
        end                                                         as cause,
        -- its day in the ledger if that is in a closed month, else its closed day
        coalesce(max(shown_on) over whole_entry, max(known_on) over whole_entry) as movement_on,
        closed_through + 1                                          as booked_on,
        ledger_account,
        cast(amount as decimal(18, 2))                              as amount,
        currency,
        is_bank
    from netted
    window whole_entry as (partition by account_id, kind, entry)
    qualify amount <> 0
)

select * from final
order by account_id, kind, entry, ledger_account, currency
