-- One row per account and booked day whose every movement carries the bank's running balance: where that chain ends.
-- grain:  account_id, day
-- checks: not_null(account_id, day)

with

transactions as (
    select
        account_id,
        booked_on                                                   as day,
        window_on,
        position_in_day,
        amount,
        balance_after
    from staging.stg_kontomatik__transactions
    where valid_to is null and status = 'booked'
),

days as (
    select account_id, day
    from transactions
    group by account_id, day
    having count(*) = count(balance_after)
),

chained as (select transactions.* from transactions semi join days using (account_id, day)),

-- Every movement leaves one balance for another. A balance left as often as reached lies inside the day; the one
-- reached once more is its end. This needs no order, and the bank's order is by another day than the booked one.
steps as (
    select account_id, day, balance_after as balance, 1 as reached from chained
    union all
    select account_id, day, balance_after - amount as balance, -1 as reached from chained
),

open_ends as (
    select account_id, day, balance, sum(reached) as surplus
    from steps
    group by account_id, day, balance
    having sum(reached) <> 0
),

ends as (
    select
        account_id,
        day,
        sum(surplus) filter (where surplus > 0)                     as ends,
        max(balance) filter (where surplus = 1)                     as balance
    from open_ends
    group by account_id, day
),

-- A day that ends where it began has no open end: there, the bank's own order decides
circles as (
    select account_id, day, balance_after as balance
    from chained
    anti join ends using (account_id, day)
    qualify row_number() over (partition by account_id, day order by window_on desc, position_in_day desc) = 1
),

final as (
    select account_id, day, case when ends = 1 then balance end as balance from ends
    union all
    select account_id, day, balance from circles
)

select * from final
