-- One row per account and stretch of days in which the bank moved more or less money than the ledger holds.
-- grain:  account_id, day, found_in
-- checks: not_null(difference_amount, anywhere_before), accepted(found_in, 'running balances', 'account balance', 'reports', 'rows read', 'statements')

with

chain_steps  as (select * from intermediate.int_running_balance_steps where difference_amount <> 0),
report_steps as (select * from intermediate.int_reported_balance_steps where not tied),
altered_days as (select * from intermediate.int_control_total_breaks),
first_links  as (select account_id, min(day) as day from intermediate.int_running_balance_steps group by account_id),
accounts     as (select account_id, first_booked_on from intermediate.int_accounts),
last_seen    as (select * from intermediate.int_last_seen where source <> 'file'),
imports      as (
    select account_id, finished_at
    from intermediate.int_imports
    where source <> 'file' and account_id is not null and finished_at is not null
),
holes        as (select * from intermediate.int_holes),
statements   as (select * from intermediate.int_statement_steps where difference_amount <> 0),

-- Balances on both sides of a difference that two imports gave: the later one may have moved because of a row that the bank dated
-- before the days that it was asked for, and no read has covered those days since
chain_found as (
    select
        chain_steps.account_id,
        chain_steps.day,
        chain_steps.since,
        case when is_report then 'account balance' else 'running balances' end as found_in,
        difference_amount,
        coalesce(seen_before.seen_at < seen.seen_at and chain_steps.since <= seen_before.to_on, false) as older_days_unseen
    from chain_steps
    asof left join last_seen as seen on seen.account_id = chain_steps.account_id and seen.from_on <= chain_steps.day
    asof left join last_seen as seen_before
        on seen_before.account_id = chain_steps.account_id and seen_before.from_on <= chain_steps.since
),

read as (
    select report_steps.*, imports.finished_at as read_at
    from report_steps
    asof left join imports on imports.account_id = report_steps.account_id and imports.finished_at <= report_steps.shown_at
),

report_found as (
    select
        read.account_id,
        read.day,
        read.since,
        'reports'                                                   as found_in,
        read.difference_amount,
        exists (
            select 1
            from last_seen
            where last_seen.account_id = read.account_id
                and last_seen.seen_at < read.read_at
                and last_seen.to_on >= accounts.first_booked_on
        )                                                           as older_days_unseen
    from read
    left join accounts using (account_id)
),

-- A movement on days that no read could cover lies there, and not before them
by_balances as (
    select
        account_id,
        day,
        case
            when older_days_unseen and not spans_a_hole then least(since, accounts.first_booked_on - 1)
            else since
        end                                                         as since,
        found_in,
        difference_amount,
        older_days_unseen and not spans_a_hole                      as anywhere_before
    from (select * from chain_found union all select * from report_found) as found
    cross join lateral (
        select exists (
            select 1
            from holes
            where holes.account_id = found.account_id and holes.from_on <= found.day and holes.to_on >= found.since
        ) as spans_a_hole
    )
    left join accounts using (account_id)
),

-- Skip days that a balance check already reports. A balance shows no loss of the first row of a chain, of a row before two balances were
-- reported, or of a row of 0.00.
by_rows as (
    select
        altered_days.account_id,
        altered_days.day,
        cast(null as date)                                          as since,
        'rows read'                                                 as found_in,
        altered_days.missing_amount                                 as difference_amount,
        false                                                       as anywhere_before
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

of_banks as (
    select * from by_balances
    union all
    select * from by_rows
),

-- What no other balance has found yet
by_statements as (
    select
        account_id,
        day,
        since,
        'statements'                                                as found_in,
        statements.difference_amount - coalesce(known.amount, 0)    as difference_amount,
        false                                                       as anywhere_before
    from statements
    cross join lateral (
        select sum(of_banks.difference_amount) as amount
        from of_banks
        where of_banks.account_id = statements.account_id
            and of_banks.day > statements.since
            and of_banks.day <= statements.until_on
    ) as known
    where statements.difference_amount <> coalesce(known.amount, 0)
),

found as (
    select * from of_banks
    union all
    select * from by_statements
),

final as (
    select
        account_id,
        day,
        found_in,
        min(since)                                                  as since,
        bool_or(anywhere_before)                                    as anywhere_before,
        cast(sum(difference_amount) as decimal(18, 2))              as difference_amount
    from found
    group by account_id, day, found_in
)

select * from final
