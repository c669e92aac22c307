-- One row per account and booked day whose movements all carry the bank's running balance: the end of that chain.
-- grain:  account_id, day
-- checks: not_null(account_id, day, chains, balance, first_balance)

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
        sum(surplus) filter (where surplus > 0)                     as chains,
        list_sort(list(balance) filter (where surplus > 0))         as ends,
        list_sort(list(balance) filter (where surplus < 0))         as beginnings
    from open_ends
    group by account_id, day
),

linked as (
    select
        days.account_id,
        days.day,
        ends.chains,
        ends.ends,
        ends.beginnings,
        lead(ends.beginnings) over dates                            as next_beginnings,
        lag(ends.ends) over dates                                   as previous_ends
    from days
    left join ends using (account_id, day)
    window dates as (partition by days.account_id order by days.day)
),

-- A day that ends where it began has no open end, and a day with a gap has several: there, the bank's own order decides
in_doubt as (
    select
        chained.account_id,
        chained.day,
        max_by(balance_after, row(window_on, position_in_day))      as last_balance,
        min_by(balance_after - amount, row(window_on, position_in_day)) as first_balance
    from chained
    semi join (select account_id, day from linked where chains is distinct from 1) using (account_id, day)
    group by chained.account_id, chained.day
),

final as (
    select
        linked.account_id,
        linked.day,
        cast(coalesce(linked.chains, 1) as bigint)                  as chains,
        -- of several ends, the one that the next day begins with
        case
            when linked.chains = 1 then linked.ends[1]
            else coalesce(list_sort(list_intersect(linked.ends, linked.next_beginnings))[1], in_doubt.last_balance)
        end                                                         as balance,
        case
            when linked.chains = 1 then linked.beginnings[1]
            else coalesce(list_sort(list_intersect(linked.beginnings, linked.previous_ends))[1], in_doubt.first_balance)
        end                                                         as first_balance
    from linked
    left join in_doubt using (account_id, day)
)

select * from final
