-- A day does not begin with the closing balance of the day before, its amounts do not add up, or a day is missing.
with

days as (
    select
        *,
        lag(day) over dates as day_before,
        lag(closing_balance) over dates as closing_balance_before
    from ledger.balances_daily
    window dates as (partition by account_id order by day)
)

select account_id, day
from days
where (day_before is not null and day_before <> day - 1)
    or (day_before is not null and opening_balance is distinct from closing_balance_before)
    or opening_balance + money_in + money_out + coalesce(difference_amount, 0) is distinct from closing_balance
