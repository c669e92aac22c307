-- One row per account and stretch of days that ends with a day of running balances: the amount that is unaccounted for.
-- grain:  account_id, day, is_report
-- checks: not_null(difference_amount)

with

ends      as (select * from intermediate.int_running_balance_ends),
movements as (select * from intermediate.int_booked_days),
accounts  as (select * from intermediate.int_accounts where balance is not null),
balances  as (select * from intermediate.int_balance_days),

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

running as (
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

-- The balance that the bank reports for the account itself is a link, too: the last one, but for rows that are dated ahead
reported as (
    select
        balances.account_id,
        balances.balance_on                                         as day,
        balances.balance,
        cast(balances.balance as decimal(38, 2))                    as expected_without_forerunner,
        coalesce(moved.so_far, 0)                                   as so_far
    from balances
    semi join accounts using (account_id)
    semi join running using (account_id)
    asof left join moved on moved.account_id = balances.account_id and moved.day <= balances.balance_on
),

links as (
    select *, false as is_report from running
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
