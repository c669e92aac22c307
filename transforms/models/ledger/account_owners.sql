-- One row per account and owner: who owns which account now, as far as the bank says so.
-- grain:  account_id, owner_id
-- checks: relationship(account_id, accounts), relationship(owner_id, owners), not_null(linked_by), accepted(linked_by, 'account', 'consent')

with

-- Whom the bank no longer shows owns nothing
owners   as (select * from intermediate.int_owners where valid_to is null),
accounts as (select * from staging.stg_kontomatik__accounts),
known    as (select account_id from intermediate.int_account_identities),

-- The names that the bank gave with the account last, through each consent that reads it
named as (
    select account_id, consent_id, max_by(owner_name, valid_from) as owner_name
    from accounts
    where account_id in (select account_id from known)
    group by account_id, consent_id
),

pairs as (
    select
        named.account_id,
        named.consent_id,
        owners.owner_id,
        coalesce(bool_or(contains(concat(', ', lower(named.owner_name), ', '), concat(', ', lower(owners.name), ', '))), false) as is_named
    from named
    join owners on owners.consent_id = named.consent_id
    group by named.account_id, named.consent_id, owners.owner_id
),

-- Where no owner of the consent is named with the account, each of them may own it
likely as (
    select *, bool_or(is_named) over (partition by account_id, consent_id) as some_are_named
    from pairs
),

final as (
    select
        account_id,
        owner_id,
        case when bool_or(is_named) then 'account' else 'consent' end as linked_by
    from likely
    where is_named or not some_are_named
    group by account_id, owner_id
)

select * from final
order by account_id, owner_id
