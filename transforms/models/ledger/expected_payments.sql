-- One row per payment of a standing or timed order, or of a transfer under way: expected, already paid, or missing.
-- grain:  expected_payment_id
-- checks: not_null(account_id, order_id, ordered_on, due_on, amount, currency), accepted(order_kind, 'standing', 'timed'),
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

final as (
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
)

select * from final
order by due_on, expected_payment_id
