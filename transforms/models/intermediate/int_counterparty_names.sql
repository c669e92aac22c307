-- One row per name and IBAN that a bank has shown together, with their counterparty: by IBAN first, then by name.
-- grain:  name_and_iban
-- checks: not_null(counterparty_id)

with

shown as (
    select distinct counterparty_name, counterparty_iban
    from intermediate.int_transaction_versions
    where counterparty_name is not null or counterparty_iban is not null
),

normal as (
    select
        *,
        nullif(upper(replace(counterparty_iban, ' ', '')), '')      as iban,
        plain_words(counterparty_name)                              as plain_name
    from shown
),

final as (
    select
        concat_ws(' | ', coalesce(counterparty_name, ''), coalesce(counterparty_iban, '')) as name_and_iban,
        counterparty_name,
        counterparty_iban,
        iban,
        plain_name,
        case
            when iban is not null then concat('c-', left(md5(concat('iban ', iban)), 16))
            else concat('c-', left(md5(concat('name ', plain_name)), 16))
        end                                                         as counterparty_id
    from normal
    where iban is not null or plain_name is not null
)

select * from final
