-- One row per account or card that a bank or an imported file has ever shown, with the values that it showed last.
-- grain:  account_id
-- checks: not_null(source, source_account_id, institution, account_type)

with

kontist      as (select * from staging.stg_kontist__accounts),
kontomatik   as (select * from staging.stg_kontomatik__accounts),
files        as (select * from staging.stg_file__accounts),
statements   as (
    select account_id, max_by(balance, row(day, -place)) as balance
    from intermediate.int_statement_balances
    group by account_id
),
imports      as (select * from intermediate.int_imports),
transactions as (select * from intermediate.int_transaction_versions where valid_to is null),

every_source as (
    select
        account_id,
        'kontist'                                                   as source,
        'Europe/Berlin'                                             as time_zone,
        source_account_id,
        cast(null as varchar)                                       as consent_id,
        'Kontist'                                                   as institution,
        account_type,
        iban,
        bic,
        name,
        currency,
        cast(null as varchar)                                       as owner_name,
        balance,
        available_balance,
        valid_from,
        valid_to
    from kontist
    union all
    select
        account_id,
        'kontomatik'                                                as source,
        'Europe/Warsaw'                                             as time_zone,
        source_account_id,
        consent_id,
        institution,
        account_type,
        iban,
        cast(null as varchar)                                       as bic,
        name,
        currency,
        owner_name,
        balance,
        available_balance,
        valid_from,
        valid_to
    from kontomatik
    union all
    select
        account_id,
        'file'                                                      as source,
        'Europe/Berlin'                                             as time_zone,
        source_account_id,
        cast(null as varchar)                                       as consent_id,
        institution,
        account_type,
        iban,
        cast(null as varchar)                                       as bic,
        name,
        currency,
        cast(null as varchar)                                       as owner_name,
        statements.balance,
        cast(null as decimal(18, 2))                                as available_balance,
        valid_from,
        valid_to
    from files
    left join statements using (account_id)
),

-- An account that two consents show is one account; one that a bank no longer lists keeps its history, so it stays
shown_last as (
    select *
    from every_source
    qualify row_number() over (
        partition by account_id
        order by valid_to is null desc, valid_from desc, consent_id desc nulls last, source_account_id desc
    ) = 1
),

-- A file makes days known, and no balance of the bank any newer
read as (
    select
        imports.account_id,
        max(as_of) filter (where status = 'complete' and own)       as completed_at,
        max(finished_on) filter (where status = 'complete')         as completed_on,
        max(as_of) filter (where status in ('complete', 'partial') and own) as imported_at,
        max(finished_on) filter (where status in ('complete', 'partial') and own) as imported_on
    from imports
    left join shown_last using (account_id)
    cross join lateral (select imports.source is not distinct from coalesce(shown_last.source, imports.source) as own)
    group by imports.account_id
),

moved as (
    select
        account_id,
        min(booked_on)                                              as first_booked_on,
        max(booked_on)                                              as last_booked_on,
        case when count(distinct currency) = 1 then any_value(currency) end as only_currency
    from transactions
    group by account_id
),

final as (
    select
        shown_last.account_id,
        shown_last.source,
        shown_last.time_zone,
        shown_last.source_account_id,
        shown_last.institution,
        shown_last.account_type,
        shown_last.iban,
        shown_last.name,
        coalesce(shown_last.currency, moved.only_currency)          as currency,
        shown_last.owner_name,
        shown_last.balance,
        shown_last.available_balance,
        case when shown_last.balance is not null then read.completed_at end as balance_at,
        moved.first_booked_on,
        moved.last_booked_on,
        read.imported_at                                            as last_imported_at,
        read.completed_on                                           as last_completed_on,
        read.imported_on                                            as last_imported_on,
        shown_last.valid_to                                         as gone_at,
        shown_last.bic,
        concat(
            case when shown_last.account_type = 'card' then 'Liabilities:Card:' else 'Assets:Bank:' end,
            concat(upper(shown_last.source[1]), shown_last.source[2:]),
            ':',
            upper(regexp_replace(split_part(shown_last.account_id, ':', 2), '[^A-Za-z0-9]', '-', 'g'))
        )                                                           as ledger_account,
        -- a card repeats the IBAN of the account behind it, so only an account answers to one
        case
            when shown_last.account_type = 'account' then upper(replace(shown_last.iban, ' ', ''))
        end                                                         as own_iban
    from shown_last
    left join read using (account_id)
    left join moved using (account_id)
)

select * from final
