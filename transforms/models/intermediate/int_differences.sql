-- One row per account and stretch of days on which money moved at the bank that the ledger lacks, or the other way round.
-- grain:  account_id, day, found_in
-- checks: not_null(difference_amount), accepted(found_in, 'running balances', 'account balance', 'reports', 'rows read')

with

chain_steps  as (select * from intermediate.int_chain_steps where difference_amount <> 0),
report_steps as (select * from intermediate.int_report_steps where not tied),
altered_days as (select * from intermediate.int_altered_days),
first_links  as (select account_id, min(day) as day from intermediate.int_chain_steps group by account_id),

by_balances as (
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

-- Balances tell of what was lost or altered, too, and what they tell is not told again. They cannot tell of the first row of a chain,
-- of what was there before two balances were reported, or of a row of 0.00.
by_rows as (
    select
        altered_days.account_id,
        altered_days.day,
        cast(null as date)                                          as since,
        'rows read'                                                 as found_in,
        altered_days.missing_amount                                 as difference_amount
    from altered_days
    left join first_links using (account_id)
    where (first_links.day is null or altered_days.day <= first_links.day or altered_days.missing_amount = 0)
        and not exists (
            select 1
            from by_balances
            where by_balances.account_id = altered_days.account_id
                and by_balances.difference_amount = altered_days.missing_amount
                and by_balances.day >= altered_days.day
                and (first_links.day is null or coalesce(by_balances.since, by_balances.day) <= altered_days.day)
        )
),

found as (
    select * from by_balances
    union all
    select * from by_rows
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
