-- One row per booked transaction that is one payment of a recurring one, with the day on which the next is expected.
-- grain:  transaction_id
-- checks: not_null(recurring_id, account_id, amount, currency, nth, next_on, tolerance),
--         accepted(cadence, 'weekly', 'two-weekly', 'monthly', 'quarterly', 'half-yearly', 'yearly'),
--         accepted(rule, 'similar amounts', 'same amount')

with

names as (select counterparty_name, counterparty_iban, counterparty_id from intermediate.int_counterparty_names),

-- Where nobody is named, what it is for
unnamed as (
    select transaction_id, purpose_of(description) as purpose
    from intermediate.int_transaction_versions
    where valid_to is null and status = 'booked' and amount <> 0
        and counterparty_name is null and counterparty_iban is null and description is not null
),

-- Numbers instead of names and amounts: most movements are of no series, and no text of theirs is looked at a second time
keyed as materialized (
    select
        party_key_of(account_id, currency, amount, counterparty_iban, counterparty_name) as party_key,
        booked_on                                                   as day,
        amount
    from intermediate.int_transaction_versions
    where valid_to is null and status = 'booked' and amount <> 0
        and (counterparty_name is not null or counterparty_iban is not null)
    union all
    select
        party_key_of(versions.account_id, versions.currency, versions.amount, null, concat('for ', unnamed.purpose)) as party_key,
        versions.booked_on                                          as day,
        versions.amount
    from unnamed
    inner join intermediate.int_transaction_versions as versions using (transaction_id)
    where versions.valid_to is null and versions.status = 'booked' and unnamed.purpose is not null
),

lists as (select party_key, list_sort(list(day)) as days from keyed group by party_key having count(*) >= 3),

measured as (
    select
        party_key,
        list_filter(
            list_transform(list_zip(days[2:], days[:-2]), lambda pair: case
                when pair[1] - pair[2] between 5 and 9 then 1
                when pair[1] - pair[2] between 11 and 17 then 2
                when pair[1] - pair[2] between 24 and 38 then 3
                when pair[1] - pair[2] between 80 and 103 then 4
                when pair[1] - pair[2] between 168 and 197 then 5
                when pair[1] - pair[2] between 345 and 386 then 6
            end),
            lambda length: length is not null
        )                                                           as lengths
    from lists
),

-- Two intervals of one length, or three equal amounts: without them nothing recurs
possible as (
    select party_key from measured where len(lengths) > len(list_distinct(lengths))
    union
    select party_key from keyed group by party_key, amount having count(*) >= 3
),

candidates as (
    select
        versions.transaction_id,
        versions.account_id,
        versions.currency,
        versions.amount < 0                                         as is_out,
        versions.counterparty_name,
        versions.counterparty_iban,
        unnamed.purpose,
        versions.booked_on                                          as day,
        cast(cast(abs(versions.amount) as decimal(38, 2)) * 100 as bigint) as cents,
        versions.transaction_type
    from intermediate.int_transaction_versions as versions
    left join unnamed using (transaction_id)
    where versions.valid_to is null and versions.status = 'booked' and versions.amount <> 0
        and party_key_of(
            versions.account_id,
            versions.currency,
            versions.amount,
            versions.counterparty_iban,
            coalesce(versions.counterparty_name, concat('for ', unnamed.purpose))
        ) in (select party_key from possible)
),

-- What was given back, and the return itself, is no payment of a series
moved as (
    select
        candidates.* exclude (counterparty_name, counterparty_iban),
        names.counterparty_id,
        concat_ws(
            ' ', candidates.account_id, candidates.currency, candidates.is_out,
            coalesce(names.counterparty_id, concat('for ', candidates.purpose))
        )                                                           as party
    from candidates
    left join names
        on names.counterparty_name is not distinct from candidates.counterparty_name
        and names.counterparty_iban is not distinct from candidates.counterparty_iban
    where (names.counterparty_id is not null or candidates.purpose is not null)
        and candidates.transaction_id not in (select unnest([transaction_id, reversal_of]) from intermediate.int_reversals)
),

-- Amounts that differ by more than a quarter are of two streams
ordered as (
    select *, cents * 4 > 5 * lag(cents) over (partition by party order by cents, day, transaction_id) as is_apart from moved
),

by_likeness as (
    select
        *,
        concat_ws(
            ' ', party, 'similar',
            count(*) filter (where is_apart) over (
                partition by party order by cents, day, transaction_id rows between unbounded preceding and current row
            )
        )                                                           as stream
    from ordered
),

regular_similar as (select * from regular_payments('by_likeness')),

-- Of what is left, equal amounts: two subscriptions at one merchant, or one among other purchases. The second of a day is another stream
by_amount as (
    select
        * exclude (stream),
        concat_ws(
            ' ', party, 'same', cents, row_number() over (partition by party, cents, day order by transaction_id)
        )                                                           as stream
    from by_likeness
    where stream not in (select stream from regular_similar)
),

regular_same as (select * from regular_payments('by_amount')),

regular as (
    select *, 'similar amounts' as rule from regular_similar
    union all
    -- among many purchases three equal ones a quarter or more apart are chance
    select *, 'same amount' as rule from regular_same qualify step_months <= 1 or count(*) over (partition by stream) >= 5
),

-- Days at the end of a month and at the beginning of the next one are one payday that moves
placed as (
    select
        *,
        first_value(day) over in_turn                               as first_on,
        first_value(cents) over in_turn                             as first_cents,
        first_value(transaction_id) over in_turn                    as first_id,
        row_number() over in_turn                                   as nth,
        max(day(day)) over lately >= 25 and min(day(day)) over lately <= 7 as wraps,
        quantile_disc(day(day), 0.5) over lately                    as usual_day,
        quantile_disc(case when day(day) >= 25 then day(day) - day(last_day(day)) else day(day) end, 0.5) over lately as usual_wrapped_day
    from regular
    window
        in_turn as (partition by stream order by day, transaction_id),
        lately as (partition by stream order by day, transaction_id rows between 5 preceding and current row)
),

months as (
    select
        *,
        dense_rank() over (partition by party, cadence order by first_on, first_cents, first_id) as place,
        dense_rank() over (partition by party, cadence, first_cents order by first_on, first_id) as place_of_amount,
        case when wraps then usual_wrapped_day else usual_day end   as payday,
        cast(date_trunc('month', day) as date) + to_months(
            cast(step_months + case when wraps and day(day) >= 25 then 1 else 0 end as integer)
        )                                                           as next_month
    from placed
),

-- Older history that comes in later changes no id: no payment names the series. Of several of one party and cadence the first one to
-- begin is named by these alone, any other one also by the amount that it began with
final as (
    select
        transaction_id,
        concat('r-', left(md5(concat_ws(
            ' ', party, cadence, case when place > 1 then concat_ws(' ', first_cents, place_of_amount) end
        )), 16))                                                    as recurring_id,
        account_id,
        currency,
        counterparty_id,
        purpose,
        case when is_out then 'out' else 'in' end                   as direction,
        cadence,
        step_months,
        tolerance,
        rule,
        nth,
        day                                                         as booked_on,
        cast(case when is_out then -cents else cents end * 0.01 as decimal(18, 2)) as amount,
        transaction_type,
        payday,
        cast(case
            when step_months = 0 then day + case cadence when 'weekly' then 7 else 14 end
            else least(next_month + to_days(cast(payday - 1 as integer)), last_day(next_month))
        end as date)                                                as next_on
    from months
)

select * from final
