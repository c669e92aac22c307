-- One row per account and day, from its first booked movement to the last known day, with the opening and the closing balance.
-- grain:  account_id, day
-- checks: not_null(money_in, money_out, transactions), accepted(proof, 'chain', 'reported', 'derived', 'differs', 'unknown'),
--         relationship(account_id, accounts), joins(day, calendar)

with

days       as (select * from intermediate.int_account_days),
movements  as (select * from intermediate.int_booked_days),
accounts   as (select * from intermediate.int_accounts),
balances   as (select * from intermediate.int_balance_days),
chain_ends as (select * from intermediate.int_running_balance_ends),
proofs     as (select * from intermediate.int_day_reconciliation),

differences as (
    select account_id, day, sum(difference_amount) as difference_amount
    from intermediate.int_differences
    group by account_id, day
),

-- Only what moved in the account's own currency moves its balance; with any other currency in it, no balance is known
several_currencies as (
    select account_id from movements group by account_id having sum(in_other_currencies) > 0
),

-- Where the bank reports no balance for the account, its last running balance
anchors as (
    select
        accounts.account_id,
        accounts.currency,
        balances.balance_on,
        case when several_currencies.account_id is null then balances.balance end as balance,
        accounts.balance                                            as reported_last
    from accounts
    left join balances using (account_id)
    left join several_currencies using (account_id)
),

summed as (
    select
        days.account_id,
        days.day,
        coalesce(movements.money_in, 0)                             as money_in,
        coalesce(movements.money_out, 0)                            as money_out,
        differences.difference_amount,
        coalesce(movements.transactions, 0)                         as transactions,
        sum(coalesce(movements.money_in + movements.money_out, 0) + coalesce(differences.difference_amount, 0)) over (
            partition by days.account_id order by days.day rows between unbounded preceding and current row
        )                                                           as so_far
    from days
    left join movements using (account_id, day)
    left join differences using (account_id, day)
),

-- What had moved by the end of the day that the balance is of, known (movements) or not (differences)
at_anchor as (
    select anchors.account_id, summed.so_far
    from anchors
    asof inner join summed on summed.account_id = anchors.account_id and summed.day <= anchors.balance_on
),

-- Backwards and forwards from there
closed as (
    select
        summed.account_id,
        summed.day,
        anchors.currency,
        anchors.balance_on,
        anchors.reported_last,
        summed.money_in,
        summed.money_out,
        summed.difference_amount,
        summed.transactions,
        anchors.balance + summed.so_far - coalesce(at_anchor.so_far, 0) as closing_balance
    from summed
    inner join anchors using (account_id)
    left join at_anchor using (account_id)
),

final as (
    select
        account_id,
        day,
        closed.currency,
        cast(
            closed.closing_balance - closed.money_in - closed.money_out - coalesce(closed.difference_amount, 0)
            as decimal(18, 2)
        )                                                           as opening_balance,
        cast(closed.money_in as decimal(18, 2))                     as money_in,
        cast(closed.money_out as decimal(18, 2))                    as money_out,
        cast(closed.difference_amount as decimal(18, 2))            as difference_amount,
        cast(closed.closing_balance as decimal(18, 2))              as closing_balance,
        -- on its day, the balance that the bank reports for the account comes after the last movement's
        cast(
            case
                when closed.closing_balance is null or chain_ends.balance is null then null
                when day = closed.balance_on then coalesce(closed.reported_last, chain_ends.balance)
                else chain_ends.balance
            end
            as decimal(18, 2)
        )                                                           as bank_balance,
        closed.transactions,
        case when closed.closing_balance is null then 'unknown' else proofs.proof end as proof
    from closed
    left join chain_ends using (account_id, day)
    inner join proofs using (account_id, day)
)

select * from final
order by account_id, day
