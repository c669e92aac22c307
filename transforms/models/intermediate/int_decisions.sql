-- One row per booked transaction whose other side in the books is decided by a transfer, a rule of the user or an own IBAN.
-- grain:  transaction_id
-- checks: not_null(ledger_account, decided_by)

with

transfers as (select * from intermediate.int_transfers where evidence <> 'amount'),
rule_hits as (select * from intermediate.int_rule_hits),
legs      as (select * from intermediate.int_transfer_legs),
chosen    as (select transaction_id, ledger_account, vat_code from seeds.transactions),
booked    as (select transaction_id from intermediate.int_transaction_versions where valid_to is null and status = 'booked'),

-- An exchange leaves one currency and reaches another: neither comes back to zero, and no rate of ours says that they are equal
transferred as (
    select
        unnest([out_transaction_id, in_transaction_id])             as transaction_id,
        1                                                           as rank,
        case
            when gone.currency = came.currency then 'Assets:Transit'
            else 'Equity:Conversions'
        end                                                         as ledger_account,
        concat('transfer ', evidence)                               as decided_by,
        cast(null as varchar)                                       as vat_code
    from transfers
    inner join legs as gone on gone.transaction_id = transfers.out_transaction_id
    inner join legs as came on came.transaction_id = transfers.in_transaction_id
),

ruled as (select transaction_id, 2 as rank, ledger_account, concat('rule ', rule) as decided_by, vat_code from rule_hits),

-- Money to or from an own account whose other end is not there: it stays in transit, and `in_transit` lists it
under_way as (
    select transaction_id, 3 as rank, 'Assets:Transit' as ledger_account, 'own account' as decided_by, cast(null as varchar) as vat_code
    from legs
    where names_own
),

-- A person's decision on one movement overrides everything but a transfer, whose two ends must stay together
resolved as (
    select transaction_id, 1.5 as rank, ledger_account, 'decision' as decided_by, vat_code
    from chosen
    semi join booked using (transaction_id)
),

decided as (
    select * from transferred
    union all
    select * from resolved
    union all
    select * from ruled
    union all
    select * from under_way
),

final as (
    select transaction_id, ledger_account, decided_by, vat_code
    from decided
    qualify row_number() over (partition by transaction_id order by rank) = 1
)

select * from final
