-- One row per booked transaction that may be one half of a transfer between own accounts, with its evidence.
-- grain:  transaction_id
-- checks: not_null(account_id, day, currency, cents, is_out, names_own, is_marked)

with

accounts   as (select account_id, currency, own_iban from intermediate.int_account_identities),
categories as (select * from intermediate.int_categories where ledger_account = 'Assets:Transit'),
reversals  as (select unnest([transaction_id, reversal_of]) as transaction_id from intermediate.int_reversals),
decided    as (select unnest([out_transaction_id, in_transaction_id]) as transaction_id from seeds.transfers),

-- One IBAN with an account in each of several currencies: only there a movement may go from an IBAN to itself
shared_ibans as (select own_iban from accounts where own_iban is not null group by own_iban having count(distinct currency) > 1),

booked as (
    select
        transactions.transaction_id,
        transactions.account_id,
        transactions.booked_on                                      as day,
        transactions.currency,
        cast(cast(abs(transactions.amount) as decimal(38, 2)) * 100 as bigint) as cents,
        transactions.amount < 0                                     as is_out,
        accounts.own_iban,
        nullif(upper(replace(transactions.counterparty_iban, ' ', '')), '') as shown_iban,
        nullif(shown_iban, accounts.own_iban)                       as named_iban,
        case
            when shown_iban <> accounts.own_iban or accounts.own_iban in (select own_iban from shared_ibans) then shown_iban
        end                                                         as exchange_iban,
        -- some banks write that there is none
        case
            when replace(upper(transactions.end_to_end_id), ' ', '') not in ('', 'NOTPROVIDED') then transactions.end_to_end_id
        end                                                         as end_to_end_id,
        categories.ledger_account is not null                       as is_marked
    from intermediate.int_transaction_versions as transactions
    inner join accounts using (account_id)
    left join categories
        on categories.source = transactions.source
        and categories.category is not distinct from transactions.category
        and categories.transaction_type is not distinct from transactions.transaction_type
        and categories.labels = transactions.labels
        and categories.direction = case when transactions.amount < 0 then 'out' else 'in' end
    where transactions.valid_to is null and transactions.status = 'booked' and transactions.amount <> 0
        and transactions.transaction_id not in (select transaction_id from reversals)
),

known as (
    select
        * exclude (shown_iban),
        coalesce(named_iban in (select own_iban from accounts where own_iban is not null), false) as names_own
    from booked
),

-- Money that leaves without naming an account is mostly a card's: it is kept only if the same amount came in somewhere
came_in as (select distinct currency, cents from known where not is_out and (names_own or is_marked or named_iban is null)),

shared_references as (
    select end_to_end_id
    from known
    where end_to_end_id is not null
    group by end_to_end_id
    having bool_or(is_out) and not bool_and(is_out)
),

final as (
    select *
    from known
    where names_own
        or is_marked
        or exchange_iban = own_iban
        or (named_iban is null and (not is_out or (currency, cents) in (select (currency, cents) from came_in)))
        or end_to_end_id in (select end_to_end_id from shared_references)
        or transaction_id in (select transaction_id from decided)
)

select * from final
