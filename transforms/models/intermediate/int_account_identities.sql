-- One row per account or card: what stays the same when it is read again, and what people call it.
-- grain:  account_id
-- checks: not_null(source, source_account_id, institution, account_type, ledger_account, display_name)

with

accounts as (select * from intermediate.int_accounts),
own      as (select * from seeds.accounts),

-- A card repeats the IBAN of the account behind it: whoever names an IBAN means the account
named as (
    select own.line, own.display_name, own.ledger_account, accounts.account_id
    from own
    inner join accounts
        on accounts.account_id = own.account
        or ends_with(upper(replace(accounts.iban, ' ', '')), upper(replace(own.account, ' ', '')))
    qualify rank() over (
        partition by own.line
        order by accounts.account_id = own.account desc, accounts.account_type = 'card'
    ) = 1
),

-- A row that could mean several accounts means none
called as (
    select *
    from (select * from named qualify count(*) over (partition by line) = 1)
    qualify row_number() over (partition by account_id order by line) = 1
),

-- A bank may give a name in place of a number. A name has no digits, and is not cut inside of a word
numbered as (
    select
        *,
        coalesce(iban, source_account_id)                           as number,
        iban is null and not regexp_matches(source_account_id, '\d') as is_name,
        trim(regexp_replace(source_account_id, '\s+', ' ', 'g'))    as words
    from accounts
),

-- As few characters of the number as tell the account apart; of a name its last word, then all of it
generated as (
    select
        account_id,
        ending,
        concat_ws(
            ' ',
            institution,
            case when account_type = 'card' then 'card' end,
            concat(
                '…',
                case
                    when is_name and ending = 4 then right(regexp_extract(words, '\S+$'), 30)
                    when is_name then right(words, 60)
                    else right(regexp_replace(number, '\s', '', 'g'), ending)
                end
            ),
            currency
        )                                                           as candidate,
        count(*) over (partition by ending, lower(candidate)) = 1   as is_unique
    from numbered
    cross join (values (4), (6), (8), (10)) as endings (ending)
),

shortest as (
    select
        account_id,
        coalesce(
            min_by(candidate, ending) filter (where is_unique),
            concat(min_by(candidate, ending), ' (', account_id, ')')
        )                                                           as generated_name
    from generated
    group by account_id
),

final as (
    select
        accounts.account_id,
        accounts.source,
        accounts.source_account_id,
        accounts.institution,
        accounts.account_type,
        accounts.iban,
        accounts.name,
        coalesce(called.display_name, shortest.generated_name)      as display_name,
        accounts.currency,
        coalesce(called.ledger_account, accounts.ledger_account)    as ledger_account,
        accounts.own_iban
    from accounts
    inner join shortest using (account_id)
    left join called using (account_id)
)

select * from final
