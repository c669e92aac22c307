-- One row per person or company on the other side of a payment, identified by IBAN, and without one by name.
-- grain:  counterparty_id
-- checks: not_null(transactions, first_on, last_on, is_own)

with

transactions as (select * from ledger.transactions where counterparty_id is not null),
accounts     as (select own_iban from intermediate.int_account_identities where own_iban is not null),
names        as (select * from intermediate.int_counterparty_names),

pairs as (
    select
        counterparty_id,
        counterparty_name,
        counterparty_iban,
        count(*)                                                    as transactions,
        min(transaction_on)                                         as first_on,
        max(transaction_on)                                         as last_on
    from transactions
    group by counterparty_id, counterparty_name, counterparty_iban
),

final as (
    select
        pairs.counterparty_id,
        -- the name that was used last
        max_by(pairs.counterparty_name, row(pairs.last_on, pairs.counterparty_name)) as name,
        max(names.iban)                                             as iban,
        list_sort(list(distinct coalesce(pairs.counterparty_name, ''))) as names,
        coalesce(max(names.iban) in (select own_iban from accounts), false) as is_own,
        cast(sum(pairs.transactions) as bigint)                     as transactions,
        min(pairs.first_on)                                         as first_on,
        max(pairs.last_on)                                          as last_on
    from pairs
    inner join names
        on names.counterparty_name is not distinct from pairs.counterparty_name
        and names.counterparty_iban is not distinct from pairs.counterparty_iban
    group by pairs.counterparty_id
)

select * from final
order by counterparty_id
