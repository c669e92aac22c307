-- One row per account and stretch of days up to one where the bank's running balances say what it held: what is unaccounted for.
-- grain:  account_id, day, is_report
-- checks: not_null(difference_amount)

with

ends      as (select * from intermediate.int_chain_ends),
movements as (select * from intermediate.int_booked_days),
accounts  as (select * from intermediate.int_accounts),

-- What moved in all by the end of a day: the running balances' steps must be the same
moved as (
    select
        account_id,
        day,
        sum(money_in + money_out) over (partition by account_id order by day) as so_far,
        money_in + money_out                                        as on_the_day
    from movements
),

one_currency as (
    select account_id from movements group by account_id having sum(in_other_currencies) = 0
),

told as (
    select
        ends.account_id,
        ends.day,
        ends.balance,
        ends.first_balance + moved.on_the_day                       as expected_without_forerunner,
        moved.so_far
    from ends
    inner join moved using (account_id, day)
    semi join one_currency using (account_id)
),

-- The balance that the bank reports for the account itself is the last link
reported as (
    select
        told.account_id,
        greatest(accounts.last_completed_on, accounts.last_booked_on) as day,
        accounts.balance,
        cast(null as decimal(38, 2))                                as expected_without_forerunner,
        max(moved.total)                                            as so_far
    from told
    inner join accounts using (account_id)
    inner join (select account_id, sum(on_the_day) as total from moved group by account_id) as moved using (account_id)
    where accounts.balance is not null
    group by told.account_id, accounts.last_completed_on, accounts.last_booked_on, accounts.balance
),

links as (
    select *, false as is_report from told
    union all
    select *, true as is_report from reported
),

final as (
    select
        account_id,
        day,
        lag(day) over dates                                         as since,
        is_report,
        cast(
            balance - coalesce(lag(balance) over dates + so_far - lag(so_far) over dates, expected_without_forerunner)
            as decimal(18, 2)
        )                                                           as difference_amount
    from links
    window dates as (partition by account_id order by day, is_report)
)

select * from final
