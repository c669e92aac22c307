-- One row per account and day of its history: how the day is reconciled.
-- grain:  account_id, day
-- checks: accepted(proof, 'chain', 'reported', 'derived', 'differs', 'unknown')

with

days         as (select * from intermediate.int_account_days),
chain_steps  as (select * from intermediate.int_running_balance_steps),
report_steps as (select * from intermediate.int_reported_balance_steps),
movements    as (select account_id, day from intermediate.int_booked_days),
differences  as (select * from intermediate.int_differences),
steps        as (select * from intermediate.int_statement_steps),
altered_days as (select distinct account_id, day from differences where found_in = 'rows read'),

-- A balance of today that older days contradict takes the proof from all of them, until they are read again
contradicted as (select account_id, max(day) as until_on from differences where anywhere_before group by account_id),

first_links   as (select account_id, min(day) as day from chain_steps group by account_id),
first_reports as (select account_id, min(day) as day, max(day) as last_day from report_steps group by account_id),

-- After the last moment nothing new was shown, neither balance nor movement, but for one that was dated ahead
dated_ahead as (
    select movements.account_id, min(movements.day) as day
    from movements
    inner join first_reports on first_reports.account_id = movements.account_id and movements.day > first_reports.last_day
    group by movements.account_id
),

-- Several of one day count as one: a day is as good as the worst of them
chain_days  as (select account_id, day, bool_and(difference_amount = 0) as tied from chain_steps group by account_id, day),
report_days as (select account_id, day, bool_and(tied) as tied from report_steps group by account_id, day),

joined as (
    select
        days.account_id,
        days.day,
        chain.day                                                   as chain_day,
        chain.tied                                                  as chain_tied,
        report.day                                                  as report_day,
        report.tied                                                 as report_tied
    from days
    -- the next balance that the bank reported: it confirms every day since the one before
    asof left join chain_days as chain on chain.account_id = days.account_id and chain.day >= days.day
    asof left join report_days as report on report.account_id = days.account_id and report.day >= days.day
),

by_bank as (
    select
        joined.account_id,
        joined.day,
        case
            when altered_days.day is not null then 'differs'
            when joined.day <= contradicted.until_on then 'differs'
            when first_links.day is not null and joined.day < first_links.day then 'derived'
            when first_links.day is not null and joined.chain_day is null then 'derived'
            -- nothing before it says that its first movement is the account's first, or has the right amount
            when joined.day = first_links.day and joined.chain_tied then 'derived'
            when first_links.day is not null then case when joined.chain_tied then 'chain' else 'differs' end
            when first_reports.day is null then 'unknown'
            when not joined.report_tied then 'differs'
            when joined.day <= first_reports.day then 'derived'
            when joined.day >= dated_ahead.day then 'derived'
            else 'reported'
        end                                                         as proof
    from joined
    left join first_links using (account_id)
    left join first_reports using (account_id)
    left join dated_ahead using (account_id)
    left join contradicted using (account_id)
    left join altered_days on altered_days.account_id = joined.account_id and altered_days.day = joined.day
),

-- Two balances of statements prove the days between them, whatever is in doubt elsewhere
by_statements as (
    select
        days.account_id,
        days.day,
        bool_and(steps.difference_amount = 0)                       as tied
    from days
    inner join steps
        on steps.account_id = days.account_id
        and days.day between least(steps.since + 1, steps.day)
        and case when steps.difference_amount = 0 then steps.until_on else steps.day end
    group by days.account_id, days.day
),

final as (
    select
        by_bank.account_id,
        by_bank.day,
        case
            when by_statements.tied is null then by_bank.proof
            when not by_statements.tied or differing.day is not null then 'differs'
            when by_bank.proof = 'chain' then 'chain'
            when by_bank.proof = 'differs' and (contradicted.until_on is null or by_bank.day > contradicted.until_on) then 'differs'
            else 'reported'
        end                                                         as proof
    from by_bank
    left join by_statements using (account_id, day)
    left join contradicted using (account_id)
    left join (select distinct account_id, day from differences) as differing using (account_id, day)
)

select * from final
