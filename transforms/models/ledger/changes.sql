-- One row per transaction that the last run added, changed or removed, with the values before and after.
-- grain:  transaction_id
-- checks: not_null(run_id, account_id, noticed_at), accepted(change, 'new', 'changed', 'removed'),
--         joins(account_id, accounts), joins(run_id, runs)

with

attempts as (select run_id, min(started_at) as started_at from ledger.imports group by run_id),
runs     as (select * from attempts order by started_at desc, run_id desc limit 1),

versions as (
    select history.*, runs.run_id, runs.started_at
    from ledger.transaction_history as history
    cross join runs
    where history.change <> 'removed' and (history.valid_from >= runs.started_at or history.valid_to >= runs.started_at)
),

after as (select * from versions where valid_to is null),

-- What was shown when the run began
before as (select * from versions where valid_from < started_at),

compared as (
    select
        coalesce(after.transaction_id, before.transaction_id)       as transaction_id,
        coalesce(after.account_id, before.account_id)               as account_id,
        coalesce(after.run_id, before.run_id)                       as run_id,
        case
            when before.transaction_id is null then 'new'
            when after.transaction_id is null then 'removed'
            else 'changed'
        end                                                         as change,
        coalesce(after.valid_from, before.valid_to)                 as noticed_at,
        coalesce(after.currency, before.currency)                   as currency,
        before.status                                               as status_before,
        after.status                                                as status_after,
        before.transaction_on                                       as before_on,
        after.transaction_on                                        as after_on,
        before.booked_on                                            as booked_before_on,
        after.booked_on                                             as booked_after_on,
        before.amount                                               as before_amount,
        after.amount                                                as after_amount,
        before.counterparty_name                                    as counterparty_before,
        after.counterparty_name                                     as counterparty_after,
        before.description                                          as description_before,
        after.description                                           as description_after,
        before.value_on                                             as value_before_on,
        after.value_on                                              as value_after_on,
        before.currency                                             as currency_before,
        after.currency                                              as currency_after,
        before.original_amount                                      as original_amount_before,
        after.original_amount                                       as original_amount_after,
        before.original_currency                                    as original_currency_before,
        after.original_currency                                     as original_currency_after,
        before.counterparty_iban                                    as counterparty_iban_before,
        after.counterparty_iban                                     as counterparty_iban_after,
        before.end_to_end_id                                        as end_to_end_id_before,
        after.end_to_end_id                                         as end_to_end_id_after,
        before.transaction_type                                     as transaction_type_before,
        after.transaction_type                                      as transaction_type_after,
        before.category                                             as category_before,
        after.category                                              as category_after,
        before.labels                                               as labels_before,
        after.labels                                                as labels_after,
        case
            when before.transaction_id is not null and after.transaction_id is not null
                then concat_ws(
                    ', ',
                    case when before.status <> after.status then 'status' end,
                    case when before.transaction_on <> after.transaction_on then 'transaction_on' end,
                    case when before.booked_on is distinct from after.booked_on then 'booked_on' end,
                    case when before.value_on is distinct from after.value_on then 'value_on' end,
                    case when before.amount <> after.amount then 'amount' end,
                    case when before.currency <> after.currency then 'currency' end,
                    case when before.original_amount is distinct from after.original_amount then 'original_amount' end,
                    case when before.original_currency is distinct from after.original_currency then 'original_currency' end,
                    case when before.counterparty_name is distinct from after.counterparty_name then 'counterparty_name' end,
                    case when before.counterparty_iban is distinct from after.counterparty_iban then 'counterparty_iban' end,
                    case when before.description is distinct from after.description then 'description' end,
                    case when before.end_to_end_id is distinct from after.end_to_end_id then 'end_to_end_id' end,
                    case when before.transaction_type is distinct from after.transaction_type then 'transaction_type' end,
                    case when before.category is distinct from after.category then 'category' end,
                    case when before.labels <> after.labels then 'labels' end
                )
        end                                                         as changed_columns
    from after
    full outer join before using (transaction_id)
),

-- A correction shifts every later running balance: that is no news about those rows
final as (select * from compared where change <> 'changed' or changed_columns <> '')

select * from final
order by account_id, noticed_at, transaction_id
