-- One row per holder and currency: income, fixed costs, instalments, balances and proof, as of the ledger's last complete day. Nothing is advice.
-- grain:  holder_id, currency
-- checks: not_null(as_of, lately_from, owner_ids, account_ids, days_expected, days_proven)

with

dates    as (select * from intermediate.int_affordability_days),

owners as (select account_id, list(owner_id order by owner_id) as owner_ids from ledger.account_owners group by account_id),

-- All owners of an account together are its holder, so money of a shared account counts once. Where the bank names nobody, the account is
accounts as (
    select
        accounts.account_id,
        coalesce(array_to_string(owners.owner_ids, '+'), accounts.account_id) as holder_id,
        coalesce(owners.owner_ids, cast([] as varchar[]))           as owner_ids,
        accounts.account_type,
        accounts.currency,
        accounts.first_booked_on,
        cast(accounts.gone_at as date)                              as gone_on,
        dates.*
    from intermediate.int_accounts as accounts
    left join owners using (account_id)
    cross join dates
    where accounts.gone_at is null or gone_on >= dates.lately_from
),

payments as (
    select
        accounts.holder_id,
        accounts.owner_ids,
        payments.*,
        payments.booked_on >= accounts.lately_from                  as is_late,
        case
            when payments.booked_on >= accounts.this_month then 0
            when payments.booked_on >= accounts.last_month then 1
            when payments.booked_on >= accounts.month_before then 2
        end                                                         as months_ago
    from ledger.affordability_payments as payments
    inner join accounts using (account_id)
),

-- A holder with a payment in a currency of no account has no balance in it
holders as (
    select
        holder_id,
        currency,
        any_value(owner_ids)                                        as owner_ids,
        list(distinct account_id order by account_id)               as account_ids
    from (
        select holder_id, currency, owner_ids, account_id from accounts where currency is not null
        union all
        select holder_id, currency, owner_ids, account_id from payments
    )
    group by holder_id, currency
),

-- Whole months only, since the month of the first known day may lack days. Days before it are expected, too, as in `prove`
known as (
    select
        accounts.holder_id,
        accounts.currency,
        case when count(proofs.day) > 0 then greatest(
            any_value(accounts.regular_from),
            cast(date_trunc('month', min(proofs.day) - 1) + interval 1 month as date)
        ) end                                                       as first_month,
        any_value(accounts.this_month)                              as end_month,
        coalesce(greatest(0, date_diff('month', first_month, end_month)), 0) as months,
        90 * count(distinct accounts.account_id)                    as days_expected,
        count(*) filter (
            where proofs.day between accounts.lately_from and accounts.as_of and proofs.proof in ('chain', 'reported')
        )                                                           as days_proven
    from accounts
    left join intermediate.int_day_reconciliation as proofs using (account_id)
    group by accounts.holder_id, accounts.currency
),

-- DuckDB plans a case faster than a filter on each sum
sums as (
    select
        holder_id,
        currency,
        sum(case when is_income and months_ago = 0 then amount end) as income_this_month,
        sum(case when is_income and months_ago = 0 then unproven end) as unproven_income_this_month,
        sum(case when is_income and months_ago = 1 then amount end) as income_last_month,
        sum(case when is_income and months_ago = 1 then unproven end) as unproven_income_last_month,
        sum(case when is_income and months_ago = 2 then amount end) as income_month_before,
        sum(case when is_income and months_ago = 2 then unproven end) as unproven_income_month_before,
        sum(case when is_income then late_amount end)               as income,
        sum(case when is_income then late_unproven end)             as unproven_income,
        sum(case when figure = 'rent' then late_amount end)         as rent,
        sum(case when figure = 'rent' then late_unproven end)       as unproven_rent,
        sum(case when figure = 'utilities' then late_amount end)    as utilities,
        sum(case when figure = 'utilities' then late_unproven end)  as unproven_utilities,
        sum(case when figure = 'insurance' then late_amount end)    as insurance,
        sum(case when figure = 'insurance' then late_unproven end)  as unproven_insurance,
        sum(case when figure = 'subscription' then late_amount end) as subscriptions,
        sum(case when figure = 'subscription' then late_unproven end) as unproven_subscriptions,
        sum(case when is_fixed_cost then late_amount end)           as fixed_costs,
        sum(case when is_fixed_cost then late_unproven end)         as unproven_fixed_costs,
        sum(case when figure = 'loan_instalment' then late_amount end) as loan_instalments,
        sum(case when figure = 'loan_instalment' then late_unproven end) as unproven_loan_instalments,
        sum(case when is_spending then late_amount end)             as spending,
        sum(case when is_spending then late_unproven end)           as unproven_spending,
        sum(case when figure = 'gambling' then late_amount end)     as gambling,
        sum(case when figure = 'gambling' then late_unproven end)   as unproven_gambling,
        sum(case when figure = 'cash' then late_amount end)         as cash,
        sum(case when figure = 'cash' then late_unproven end)       as unproven_cash,
        sum(case when figure = 'returned_debit' then late_amount end) as returned_debits_amount,
        sum(case when figure = 'returned_debit' then late_unproven end) as unproven_returned_debits_amount,
        count(case when figure = 'returned_debit' then late_amount end) as returned_debits,
        count(case when figure = 'returned_debit' then late_unproven end) as unproven_returned_debits,
        sum(case when is_regular then amount end)                   as regular_income,
        sum(case when is_regular then unproven end)                 as unproven_regular_income,
        count(distinct case when is_regular then date_trunc('month', booked_on) end) as regular_months
    from (
        select
            payments.*,
            case when not is_proven then amount end                 as unproven,
            case when is_late then amount end                       as late_amount,
            case when is_late and not is_proven then amount end     as late_unproven,
            is_regular_income and booked_on >= known.first_month and booked_on < known.end_month as is_regular
        from payments
        left join known using (holder_id, currency)
    )
    group by holder_id, currency
),

-- A card's balance is an intended debt. A day on which one balance is not known has no sum, so it begins with the last account
account_days as (
    select
        account_id,
        holder_id,
        currency,
        cast(unnest(generate_series(
            cast(lately_from as timestamp), cast(as_of as timestamp), interval 1 day
        )) as date)                                                 as day,
        gone_on
    from accounts
    where account_type = 'account' and first_booked_on <= as_of
),

balances as (
    select
        account_days.holder_id,
        account_days.currency,
        account_days.day,
        case when count(balances.closing_balance) = count(*) then sum(balances.closing_balance) end as balance,
        coalesce(min(balances.closing_balance) < 0, false)          as is_below_zero
    from account_days
    left join ledger.balances_daily as balances using (account_id, day)
    where account_days.gone_on is null or account_days.day < account_days.gone_on
    group by account_days.holder_id, account_days.currency, account_days.day
),

average_balances as (
    select
        holder_id,
        currency,
        count(balance)                                              as balance_days,
        in_proportion(in_cents(sum(balance)), 1, nullif(count(balance), 0)) as average_balance,
        in_cents(min(balance))                                      as minimum_balance,
        count(*) filter (where is_below_zero)                       as days_below_zero
    from balances
    group by holder_id, currency
),

final as (
    select
        holders.holder_id,
        holders.currency,
        dates.as_of,
        dates.lately_from,
        holders.owner_ids,
        holders.account_ids,
        in_cents(coalesce(sums.income_this_month, 0))               as income_this_month,
        in_cents(coalesce(sums.unproven_income_this_month, 0))      as unproven_income_this_month,
        in_cents(coalesce(sums.income_last_month, 0))               as income_last_month,
        in_cents(coalesce(sums.unproven_income_last_month, 0))      as unproven_income_last_month,
        in_cents(coalesce(sums.income_month_before, 0))             as income_month_before,
        in_cents(coalesce(sums.unproven_income_month_before, 0))    as unproven_income_month_before,
        in_cents(coalesce(sums.income, 0))                          as income,
        in_cents(coalesce(sums.unproven_income, 0))                 as unproven_income,
        in_proportion(in_cents(coalesce(sums.income, 0)), 1, 3)     as income_30_days,
        in_proportion(in_cents(coalesce(sums.regular_income, 0)), 1, nullif(known.months, 0)) as regular_income,
        in_proportion(in_cents(coalesce(sums.unproven_regular_income, 0)), 1, nullif(known.months, 0)) as unproven_regular_income,
        coalesce(sums.regular_months, 0)                            as regular_months,
        coalesce(known.months, 0)                                   as whole_months,
        in_cents(coalesce(sums.rent, 0))                            as rent,
        in_cents(coalesce(sums.unproven_rent, 0))                   as unproven_rent,
        in_cents(coalesce(sums.utilities, 0))                       as utilities,
        in_cents(coalesce(sums.unproven_utilities, 0))              as unproven_utilities,
        in_cents(coalesce(sums.insurance, 0))                       as insurance,
        in_cents(coalesce(sums.unproven_insurance, 0))              as unproven_insurance,
        in_cents(coalesce(sums.subscriptions, 0))                   as subscriptions,
        in_cents(coalesce(sums.unproven_subscriptions, 0))          as unproven_subscriptions,
        in_cents(coalesce(sums.fixed_costs, 0))                     as fixed_costs,
        in_cents(coalesce(sums.unproven_fixed_costs, 0))            as unproven_fixed_costs,
        in_cents(coalesce(sums.loan_instalments, 0))                as loan_instalments,
        in_cents(coalesce(sums.unproven_loan_instalments, 0))       as unproven_loan_instalments,
        in_cents(coalesce(sums.spending, 0))                        as spending,
        in_cents(coalesce(sums.unproven_spending, 0))               as unproven_spending,
        in_cents(coalesce(sums.gambling, 0))                        as gambling,
        in_cents(coalesce(sums.unproven_gambling, 0))               as unproven_gambling,
        in_share(coalesce(sums.gambling, 0), sums.spending)         as gambling_share,
        in_cents(coalesce(sums.cash, 0))                            as cash,
        in_cents(coalesce(sums.unproven_cash, 0))                   as unproven_cash,
        in_share(coalesce(sums.cash, 0), sums.spending)             as cash_share,
        coalesce(sums.returned_debits, 0)                           as returned_debits,
        coalesce(sums.unproven_returned_debits, 0)                  as unproven_returned_debits,
        in_cents(coalesce(sums.returned_debits_amount, 0))          as returned_debits_amount,
        in_cents(coalesce(sums.unproven_returned_debits_amount, 0)) as unproven_returned_debits_amount,
        average_balances.average_balance,
        average_balances.minimum_balance,
        coalesce(average_balances.balance_days, 0)                  as balance_days,
        coalesce(average_balances.days_below_zero, 0)               as days_below_zero,
        coalesce(known.days_expected, 0)                            as days_expected,
        coalesce(known.days_proven, 0)                              as days_proven,
        in_share(known.days_proven, known.days_expected)            as proven_share
    from holders
    cross join dates
    left join sums using (holder_id, currency)
    left join known using (holder_id, currency)
    left join average_balances using (holder_id, currency)
)

select * from final
order by holder_id, currency
