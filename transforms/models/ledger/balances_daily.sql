-- One row per account and day, from its first booked movement to the last day that is known, with the balance at both ends of the day.
-- grain:  account_id, day
-- checks: not_null(money_in, money_out, transactions), accepted(proof, 'chain', 'reported', 'derived', 'differs', 'unknown'),
--         relationship(account_id, accounts)

with

days       as (select * from intermediate.int_account_days),
movements  as (select * from intermediate.int_booked_days),
accounts   as (select * from intermediate.int_accounts),
chain_ends as (select * from intermediate.int_chain_ends),
proofs     as (select * from intermediate.int_day_proofs),

-- Only what moved in the account's own currency moves its balance; with anything else in it, no balance can be told
anchors as (
    select
        accounts.account_id,
        accounts.currency,
        case when sum(movements.in_other_currencies) = 0 then accounts.balance end
            - sum(movements.money_in + movements.money_out)         as balance_before
    from accounts
    inner join movements using (account_id)
    group by accounts.account_id, accounts.currency, accounts.balance
),

-- Backwards from the balance that the bank reports: it less everything that moved later
closed as (
    select
        days.account_id,
        days.day,
        anchors.currency,
        coalesce(movements.money_in, 0)                             as money_in,
        coalesce(movements.money_out, 0)                            as money_out,
        coalesce(movements.transactions, 0)                         as transactions,
        anchors.balance_before
            + sum(coalesce(movements.money_in + movements.money_out, 0)) over (
                partition by days.account_id order by days.day
            )                                                       as closing_balance
    from days
    inner join anchors using (account_id)
    left join movements using (account_id, day)
),

proven as (
    select
        closed.*,
        proofs.proof                                                as proof_of_day,
        case
            when closed.closing_balance is null then 'unknown'
            when closed.transactions = 0 then null
            when chain_ends.day is null then 'derived'
            when chain_ends.chains = 1 and chain_ends.balance = closed.closing_balance then 'chain'
            else 'differs'
        end                                                         as proof_of_balance
    from closed
    left join chain_ends using (account_id, day)
    inner join proofs using (account_id, day)
),

final as (
    select
        account_id,
        day,
        currency,
        cast(closing_balance - money_in - money_out as decimal(18, 2)) as opening_balance,
        cast(money_in as decimal(18, 2))                            as money_in,
        cast(money_out as decimal(18, 2))                           as money_out,
        cast(closing_balance as decimal(18, 2))                     as closing_balance,
        transactions,
        -- nothing moved on a quiet day, so it is as certain as the last day before it on which something did
        case
            when closing_balance is not null and proof_of_day = 'reported' then 'reported'
            else last_value(proof_of_balance ignore nulls) over (partition by account_id order by day)
        end                                                         as proof
    from proven
)

select * from final
order by account_id, day
