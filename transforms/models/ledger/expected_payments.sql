-- One row per payment of an order, or of a transfer under way: expected, paid or missing; and per coming one of a recurring payment.
-- grain:  expected_payment_id
-- checks: not_null(account_id, order_id, ordered_on, due_on, amount, currency), accepted(order_kind, 'standing', 'timed', 'inferred'),
--         accepted(status, 'expected', 'due', 'executed', 'late', 'different amount', 'missing'), relationship(account_id, accounts),
--         joins(transaction_id, transactions), joins(due_on, calendar.day), joins(ordered_on, calendar.day)

with recursive

-- Banks pay on TARGET working days: an order of any other day is due on the next one
promises as (
    select
        scheduled.* exclude (due_on),
        scheduled.due_on                                            as ordered_on,
        coalesce(calendar.next_working_day, scheduled.due_on)       as due_on
    from intermediate.int_scheduled_payments as scheduled
    left join ledger.calendar as calendar on calendar.day = scheduled.due_on
),

transactions as (
    select
        transaction_id,
        account_id,
        booked_on,
        amount,
        nullif(upper(replace(counterparty_iban, ' ', '')), '')      as iban,
        lower(trim(counterparty_name))                              as name,
        case when replace(upper(end_to_end_id), ' ', '') not in ('', 'NOTPROVIDED') then end_to_end_id end as end_to_end_id,
        first_seen_at,
        min(first_seen_at) over (partition by account_id)           as first_read_at
    from ledger.transactions
    where status = 'booked' and account_id in (select account_id from promises)
),

-- Fulfilled by money out to the same IBAN, or with the same reference, or, where no IBAN is shown, to the same name
candidates as (
    select
        promises.account_id,
        promises.order_kind,
        promises.order_id,
        promises.ordered_on,
        promises.due_on,
        transactions.transaction_id,
        transactions.booked_on,
        transactions.amount,
        transactions.amount = promises.amount                       as same_amount,
        transactions.booked_on - promises.due_on                    as days
    from promises
    inner join transactions
        on transactions.account_id = promises.account_id
        and transactions.amount < 0
        and transactions.booked_on between
            case
                -- A transfer without a day may be booked before it is first seen in the list. Then its booking has its reference,
                -- or came with it or later. A payment that was known before is another one, and so may be one of the first read
                when transactions.amount <> promises.amount then promises.payable_from
                when transactions.end_to_end_id = promises.end_to_end_id and promises.undated_since is not null
                    then promises.payable_from - 10
                when transactions.first_seen_at >= promises.undated_since and promises.undated_since > transactions.first_read_at
                    then promises.payable_from - 10
                else promises.payable_from
            end
            and promises.due_on + 10
        and (
            transactions.iban = upper(replace(promises.counterparty_iban, ' ', ''))
            or transactions.end_to_end_id = promises.end_to_end_id
            or (transactions.iban is null and transactions.name = lower(trim(promises.counterparty_name)))
        )
),

-- One movement fulfils one promise: the nearest pair of the same amount first, then the nearest of another
ranked as (
    select
        *,
        row_number() over (
            order by same_amount desc, abs(days), days desc, ordered_on, booked_on, order_kind, order_id, transaction_id
        )                                                           as rank
    from candidates
),

-- Pairs in which each is the other's first choice are taken first, then the same among the rest, until none is left
rounds as (
    select
        *,
        rank = min(rank) over (partition by account_id, order_kind, order_id, ordered_on)
            and rank = min(rank) over (partition by transaction_id) as is_taken
    from ranked
    union all
    select
        * exclude (is_over),
        rank = min(rank) over (partition by account_id, order_kind, order_id, ordered_on)
            and rank = min(rank) over (partition by transaction_id) as is_taken
    from (
        select
            * exclude (is_taken),
            bool_or(is_taken) over (partition by account_id, order_kind, order_id, ordered_on)
                or bool_or(is_taken) over (partition by transaction_id) as is_over
        from rounds
    )
    where not is_over
),

fulfilled as (select * from rounds where is_taken),

ordered as (
    select
        concat_ws(':', promises.account_id, promises.order_kind, promises.order_id, promises.ordered_on) as expected_payment_id,
        promises.account_id,
        promises.order_kind,
        promises.order_id,
        promises.ordered_on,
        promises.due_on,
        promises.amount,
        promises.currency,
        promises.counterparty_name,
        promises.counterparty_iban,
        promises.description,
        case
            when fulfilled.transaction_id is not null and not fulfilled.same_amount then 'different amount'
            when fulfilled.days > 4 then 'late'
            when fulfilled.transaction_id is not null then 'executed'
            when promises.due_on > promises.known_through then 'expected'
            when promises.due_on + 10 >= promises.known_through then 'due'
            else 'missing'
        end                                                         as status,
        fulfilled.transaction_id,
        fulfilled.booked_on                                         as paid_on,
        fulfilled.amount                                            as paid_amount
    from promises
    left join fulfilled using (account_id, order_kind, order_id, ordered_on)
    where fulfilled.transaction_id is not null or not promises.called_off
),

-- What recurs in history is expected, too, as long as it has not ended. Nobody has promised it: it is never late or missing
series as (
    select
        recurring.*,
        coalesce(counterparties.name, recurring.purpose)            as counterparty_name,
        counterparties.iban                                         as counterparty_iban,
        accounts.last_completed_on                                  as known_through,
        hits.step_months,
        hits.payday,
        -- a payday before the first of its month is counted from the end of the month before
        cast(date_trunc('month', recurring.next_on) as date)
        + to_months(case when hits.payday < 1 then 1 else 0 end)    as payday_month,
        accounts.last_completed_on + settings.forecast_days         as horizon
    from ledger.recurring
    inner join intermediate.int_recurring_hits as hits on hits.transaction_id = recurring.last_transaction_id
    inner join intermediate.int_accounts as accounts
        on accounts.account_id = recurring.account_id and accounts.currency = recurring.currency
    cross join intermediate.int_settings as settings
    left join ledger.counterparties on counterparties.counterparty_id = recurring.counterparty_id
    where not recurring.is_ended and accounts.last_completed_on is not null and accounts.gone_at is null
        -- an order for the same payments is the better forecast, also of their end
        and recurring.last_transaction_id not in (select transaction_id from fulfilled)
),

not_ordered as (
    select series.*
    from series
    anti join ordered
        on ordered.account_id = series.account_id and ordered.currency = series.currency and ordered.due_on > series.last_on
        -- an order in another direction, or of an amount that differs by more than a quarter, is for other payments
        and (ordered.amount < 0) = (series.typical_amount < 0)
        and 4 * abs(ordered.amount) <= 5 * abs(series.typical_amount) and 4 * abs(series.typical_amount) <= 5 * abs(ordered.amount)
        and (
            upper(replace(ordered.counterparty_iban, ' ', '')) = series.counterparty_iban
            or (series.counterparty_iban is null and lower(trim(ordered.counterparty_name)) = lower(trim(series.counterparty_name)))
        )
),

occurrences as (
    select
        *,
        unnest(range(1 + greatest(0, (horizon - next_on) // 7)))    as nth
    from not_ordered
    where next_on <= horizon
),

months as (
    select *, cast(payday_month + to_months(cast(step_months * nth as integer)) as date) as month from occurrences
),

-- Counted from the payday each time, so that a short month does not shorten the months after it
inferred as (
    select
        * exclude (nth, step_months, payday, payday_month, month),
        cast(case
            when step_months > 0 then least(month + to_days(cast(payday - 1 as integer)), last_day(month))
            when cadence = 'weekly' then next_on + to_days(cast(7 * nth as integer))
            else next_on + to_days(cast(14 * nth as integer))
        end as date)                                                as ordered_on
    from months
    where ordered_on <= horizon
),

final as (
    select * from ordered
    union all
    select
        concat_ws(':', inferred.account_id, 'inferred', inferred.recurring_id, inferred.ordered_on) as expected_payment_id,
        inferred.account_id,
        'inferred'                                                  as order_kind,
        inferred.recurring_id                                       as order_id,
        inferred.ordered_on,
        coalesce(calendar.next_working_day, inferred.ordered_on)    as due_on,
        inferred.typical_amount                                     as amount,
        inferred.currency,
        inferred.counterparty_name,
        inferred.counterparty_iban,
        cast(null as varchar)                                       as description,
        case
            when coalesce(calendar.next_working_day, inferred.ordered_on) > inferred.known_through then 'expected'
            else 'due'
        end                                                         as status,
        cast(null as varchar)                                       as transaction_id,
        cast(null as date)                                          as paid_on,
        cast(null as decimal(18, 2))                                as paid_amount
    from inferred
    left join ledger.calendar as calendar on calendar.day = inferred.ordered_on
)

select * from final
order by due_on, expected_payment_id
