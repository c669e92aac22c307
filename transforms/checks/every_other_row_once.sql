-- A table of the ledger does not hold every current raw row exactly once: orders, imports, consents, holes, institutions, quarantine or accounts.
with

banks as (
    select 'standing_orders' as name, count(*) as n, sum(hash(account_id, order_id)) as ids, sum(-abs(amount_cents)) as cents
    from raw.kontist.standing_orders
    where _dlt_valid_to is null
    union all
    select 'timed_orders', count(*), sum(hash(account_id, order_id)), sum(-abs(amount_cents))
    from raw.kontist.timed_orders
    where _dlt_valid_to is null
    union all
    select 'order_history', count(*), sum(hash(account_id, order_id, valid_from)), sum(-abs(amount_cents))
    from (
        select account_id, order_id, _dlt_valid_from as valid_from, amount_cents from raw.kontist.standing_orders
        union all
        select account_id, order_id, _dlt_valid_from as valid_from, amount_cents from raw.kontist.timed_orders
    )
    union all
    select 'imports', count(*), sum(hash(import_id)), null
    from (
        select import_id from raw.kontist.imports
        union all
        select import_id from raw.kontomatik.imports
        union all
        select import_id from raw.file.imports
    )
    union all
    select 'consents', count(*), sum(hash(consent_id)), null
    from (select consent_id from raw.kontist.consents union all select consent_id from raw.kontomatik.consents)
    union all
    -- a gap that files cover is none any more, by its days
    select 'holes', count(*), sum(hash(account_id, day)), null
    from (
        select distinct account_id, cast(unnest(generate_series(from_on, to_on, interval 1 day)) as date) as day
        from raw.kontomatik.holes
    ) as holes
    where not exists (
        select 1
        from raw.file.imports as filled
        where filled.status = 'complete' and filled.account_id = holes.account_id
            and holes.day between filled.window_start and filled.window_end
    )
    union all
    select 'institutions', count(*), sum(hash(target)), null
    from raw.kontomatik.institutions
    union all
    select 'quarantine', count(*), sum(hash(quarantine_id)), null
    from (
        select quarantine_id from raw.kontist.quarantine where _dlt_valid_to is null
        union all
        select quarantine_id from raw.kontomatik.quarantine where _dlt_valid_to is null
    )
    union all
    -- an account that two consents show is one account, and one that is no longer listed stays
    select 'accounts', count(*), sum(hash(account_id)), null
    from (
        select account_id from raw.kontist.accounts
        union
        select account_id from raw.kontomatik.accounts
        union
        select account_id from raw.file.accounts
    )
),

ours as (
    select
        'standing_orders' as name,
        count(*) as n,
        sum(hash(account_id, order_id)) as ids,
        sum(cast(cast(amount as decimal(38, 2)) * 100 as bigint)) as cents
    from ledger.standing_orders
    union all
    select 'timed_orders', count(*), sum(hash(account_id, order_id)), sum(cast(cast(amount as decimal(38, 2)) * 100 as bigint))
    from ledger.timed_orders
    union all
    select 'order_history', count(*), sum(hash(account_id, order_id, valid_from)), sum(cast(cast(amount as decimal(38, 2)) * 100 as bigint))
    from ledger.order_history
    where change <> 'ended'
    union all
    select 'imports', count(*), sum(hash(import_id)), null from ledger.imports
    union all
    select 'consents', count(*), sum(hash(consent_id)), null from ledger.consents
    union all
    select 'holes', count(*), sum(hash(account_id, day)), null
    from (
        select distinct account_id, cast(unnest(generate_series(from_on, to_on, interval 1 day)) as date) as day from ledger.holes
    )
    union all
    select 'institutions', count(*), sum(hash(target)), null from ledger.institutions
    union all
    select 'quarantine', count(*), sum(hash(quarantine_id)), null from ledger.quarantine
    union all
    select 'accounts', count(*), sum(hash(account_id)), null from ledger.accounts
)

select name
from banks
full outer join ours using (name)
where banks.n is distinct from ours.n or banks.ids is distinct from ours.ids or banks.cents is distinct from ours.cents
