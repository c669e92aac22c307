-- One row per account and stretch of days on which money moved at the bank that the ledger lacks, or the other way round.
-- grain:  account_id, day, found_in
-- checks: not_null(difference_amount), accepted(found_in, 'running balances', 'account balance', 'reports')

with

chain_steps  as (select * from intermediate.int_chain_steps where difference_amount <> 0),
report_steps as (select * from intermediate.int_report_steps where not tied),

found as (
    select
        account_id,
        day,
        since,
        case when is_report then 'account balance' else 'running balances' end as found_in,
        difference_amount
    from chain_steps
    union all
    select account_id, day, since, 'reports' as found_in, difference_amount from report_steps
),

final as (
    select
        account_id,
        day,
        found_in,
        min(since)                                                  as since,
        cast(sum(difference_amount) as decimal(18, 2))              as difference_amount
    from found
    group by account_id, day, found_in
)

select * from final
