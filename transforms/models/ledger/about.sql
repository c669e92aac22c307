-- One row: when, by which run and by which version this file was published, and what it holds.
-- grain:  version
-- checks: not_null(checks_passed, accounts, transactions, days, reconciled_days), joins(oldest_account_id, accounts.account_id)

with

publication  as (select * from given.publication),
checks       as (select * from ledger.checks),
accounts     as (select * from ledger.accounts),
transactions as (select * from ledger.transactions),
coverage     as (select * from ledger.coverage),

promised as (select count(*) as checks_passed from checks where kind = 'check'),

listed as (select count(*) as accounts from accounts),

oldest as (
    select account_id, last_imported_at
    from accounts
    where gone_at is null
    order by last_imported_at nulls first, account_id
    limit 1
),

movements as (select count(*) as transactions, min(booked_on) as first_on, max(booked_on) as last_on from transactions),

known as (
    select count(*) as days, count(*) filter (where proof in ('chain', 'reported')) as reconciled_days
    from coverage
),

final as (
    select
        publication.published_at,
        publication.run_id,
        publication.version,
        promised.checks_passed,
        listed.accounts,
        movements.transactions,
        movements.first_on                                          as first_booked_on,
        movements.last_on                                           as last_booked_on,
        known.days,
        known.reconciled_days,
        oldest.account_id                                           as oldest_account_id,
        oldest.last_imported_at                                     as oldest_imported_at
    from publication
    cross join promised
    cross join listed
    cross join movements
    cross join known
    left join oldest on true
)

select * from final
order by version
