-- One row per counterparty, direction and currency whose movements no mapping and no rule knows, with a line for `rules.csv`.
-- grain:  uncategorised_id
-- checks: not_null(direction, currency, ledger_account, transactions, first_on, last_on), accepted(direction, 'in', 'out'),
--         joins(counterparty_id, counterparties), joins(ledger_account, ledger_accounts)

with

postings as (
    select transaction_id, ledger_account, -amount as amount, -reporting_amount as reporting_amount, reporting_currency
    from ledger.postings
    where leg = 2 and decided_by = 'nothing'
    union all
    -- of a divided movement, the splits without a category
    select transaction_id, ledger_account, -sum(amount), -sum(reporting_amount), reporting_currency
    from ledger.postings
    where leg > 4 and decided_by = 'split nothing'
    group by transaction_id, ledger_account, reporting_currency
),

transactions   as (select * from ledger.transactions),
counterparties as (select * from ledger.counterparties),

moved as (
    select
        transactions.counterparty_id,
        case when postings.amount < 0 then 'out' else 'in' end      as direction,
        transactions.currency,
        postings.ledger_account,
        count(*)                                                    as transactions,
        -- a sum that does not fit is unknown, not rounded
        in_cents(sum(postings.amount))                              as amount,
        case
            when count(postings.reporting_amount) = count(*) then in_cents(sum(postings.reporting_amount))
        end                                                         as reporting_amount,
        postings.reporting_currency,
        min(transactions.booked_on)                                 as first_on,
        max(transactions.booked_on)                                 as last_on,
        -- one party may be spelt in several ways: a rule is for the one of the last movement, and the next rule for what it leaves
        max_by(
            {
                'iban': upper(replace(transactions.counterparty_iban, ' ', '')),
                'name': coalesce(transactions.counterparty_name, '')
            },
            row(transactions.booked_on, transactions.transaction_id)
        )                                                           as spelt
    from postings
    inner join transactions using (transaction_id)
    group by
        transactions.counterparty_id, direction, transactions.currency, postings.ledger_account, postings.reporting_currency
),

named as (
    select
        moved.*,
        counterparties.name                                         as counterparty_name,
        counterparties.iban                                         as counterparty_iban,
        -- what a rule can say of it: a whole IBAN, else the name from its first letter on, on one line; a rule matches any part of a name
        case when regexp_full_match(spelt.iban, '[A-Z0-9]{5,34}') then spelt.iban end as rule_iban,
        nullif(trim(regexp_extract(spelt.name, '[^[:cntrl:][:space:]=+@-][^[:cntrl:]]*')), '') as rule_name,
        trim(left(regexp_replace(counterparties.name, '[^\p{L}\p{N}]+', ' ', 'g'), 40)) as plain_name,
        -- rules have different names
        case
            when rule_iban is distinct from counterparties.iban or (rule_iban is null and spelt.name <> counterparties.name)
                then left(md5(coalesce(rule_iban, rule_name)), 4)
        end                                                         as variant
    from moved
    left join counterparties using (counterparty_id)
),

final as (
    select
        concat_ws(':', coalesce(counterparty_id, 'none'), direction, currency) as uncategorised_id,
        counterparty_id,
        counterparty_name,
        counterparty_iban,
        direction,
        currency,
        ledger_account,
        transactions,
        amount,
        reporting_amount,
        reporting_currency,
        first_on,
        last_on,
        case
            when counterparty_id is not null and (rule_iban is not null or rule_name is not null)
                then concat_ws(
                    ',',
                    concat('"', trim(concat_ws(' ', plain_name, counterparty_id, direction, variant)), '"'),
                    '',
                    case when rule_iban is null then concat('"', replace(rule_name, '"', '""'), '"') else '' end,
                    coalesce(rule_iban, ''),
                    '',
                    direction,
                    ledger_account
                )
        end                                                         as rule_line
    from named
)

select * from final
order by transactions desc, uncategorised_id
