-- One row per booked transaction that a rule of the user matches: the first such rule.
-- grain:  transaction_id
-- checks: not_null(rule, ledger_account)

with

rules as (
    select
        line,
        rule,
        account_id,
        lower(counterparty)                                         as counterparty,
        upper(replace(iban, ' ', ''))                               as iban,
        lower(text)                                                 as text,
        direction,
        ledger_account,
        vat_code
    from seeds.rules
),

transactions as (
    select transaction_id, account_id, amount, counterparty_name, counterparty_iban, description
    from intermediate.int_transaction_versions
    where valid_to is null and status = 'booked'
),

final as (
    select
        transactions.transaction_id,
        rules.rule,
        rules.ledger_account,
        rules.vat_code
    from rules
    inner join transactions
        on (rules.account_id is null or rules.account_id = transactions.account_id)
        and (rules.counterparty is null or contains(lower(transactions.counterparty_name), rules.counterparty))
        and (rules.iban is null or rules.iban = upper(replace(transactions.counterparty_iban, ' ', '')))
        and (rules.text is null or contains(lower(transactions.description), rules.text))
        and (rules.direction = 'any' or rules.direction = case when transactions.amount < 0 then 'out' else 'in' end)
    qualify row_number() over (partition by transactions.transaction_id order by rules.line) = 1
)

select * from final
