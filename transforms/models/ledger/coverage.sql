-- One row per account and day, from its first booked movement to the last known day: which import covered it last, and how it is reconciled.
-- grain:  account_id, day
-- checks: not_null(status), accepted(status, 'seen', 'unfinished', 'unseen', 'hole'),
--         accepted(proof, 'chain', 'reported', 'derived', 'differs', 'unknown'), relationship(account_id, accounts),
--         joins(day, calendar), joins(import_id, imports)

with

proofs      as (select * from intermediate.int_day_reconciliation),
last_seen   as (select * from intermediate.int_last_seen),
holes       as (select * from intermediate.int_holes),
differences as (select * from intermediate.int_differences),

reported as (
    select account_id, day, min(since) as since, sum(difference_amount) as difference_amount
    from differences
    group by account_id, day
),

seen as (
    select
        proofs.account_id,
        proofs.day,
        proofs.proof,
        case when proofs.day <= last_seen.to_on then last_seen.import_id end as import_id,
        case when proofs.day <= last_seen.to_on then last_seen.seen_at end as seen_at,
        proofs.day >= last_seen.seen_on                             as before_its_end
    from proofs
    asof left join last_seen on last_seen.account_id = proofs.account_id and last_seen.from_on <= proofs.day
),

final as (
    select
        seen.account_id,
        seen.day,
        case
            when holes.from_on is not null and seen.day <= holes.to_on then 'hole'
            when seen.import_id is null then 'unseen'
            when seen.before_its_end then 'unfinished'
            else 'seen'
        end                                                         as status,
        seen.import_id,
        seen.seen_at,
        seen.proof,
        cast(reported.difference_amount as decimal(18, 2))              as difference_amount,
        reported.since                                                  as differs_since
    from seen
    left join reported using (account_id, day)
    asof left join holes on holes.account_id = seen.account_id and holes.from_on <= seen.day
)

select * from final
order by account_id, day
