-- The forecast of an account does not begin with its balance, does not add up, or lacks an expected payment.
with

days as (
    select
        *,
        lag(closing_balance) over dates as closing_balance_before,
        lag(day) over dates as day_before
    from ledger.cash_forecast
    window dates as (partition by account_id order by day)
)

select account_id
from days
inner join ledger.accounts using (account_id)
where opening_balance is distinct from coalesce(closing_balance_before, accounts.balance)
    or opening_balance + expected_in + expected_out <> closing_balance
    or day_before <> day - 1
    or inferred_in not between 0 and expected_in
    or inferred_out not between expected_out and 0
union all
select account_id
from (select account_id, sum(expected_in + expected_out) as amount, max(day) as until_on from ledger.cash_forecast group by account_id) as forecast
left join (
    select account_id, sum(amount) as amount
    from (
        -- one that is ordered for the last day, and due on the next working day, is beyond the forecast
        select account_id, amount
        from ledger.expected_payments
        inner join (select account_id, max(day) as until_on from ledger.cash_forecast group by account_id) using (account_id)
        where status in ('expected', 'due') and due_on <= until_on
        union all
        select transactions.account_id, transactions.amount
        from ledger.transactions
        inner join ledger.accounts using (account_id, currency)
        where transactions.status = 'booked' and transactions.booked_on > accounts.balance_on
            and transactions.booked_on <= (select max(day) from ledger.cash_forecast)
    )
    group by account_id
) as expected using (account_id)
where forecast.amount <> coalesce(expected.amount, 0)
