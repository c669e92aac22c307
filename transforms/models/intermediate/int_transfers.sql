-- One row per pair of movements that are the two ends of one transfer between own accounts, by the best evidence for it.
-- grain:  out_transaction_id
-- checks: not_null(in_transaction_id), accepted(evidence, 'decision', 'both_ibans', 'exchange', 'one_iban', 'reference', 'kind', 'amount')

with

legs      as (select * from intermediate.int_transfer_legs),
decisions as (select * from seeds.transfers),
rejected  as (select out_transaction_id, in_transaction_id from decisions where decision = 'reject'),

-- 0: somebody said so
by_decision as (
    select decisions.out_transaction_id, decisions.in_transaction_id, 'decision' as evidence
    from decisions
    inner join legs as gone on gone.transaction_id = decisions.out_transaction_id and gone.is_out
    inner join legs as came on came.transaction_id = decisions.in_transaction_id and not came.is_out
    where decisions.decision = 'confirm' and gone.account_id <> came.account_id
    qualify row_number() over (partition by decisions.out_transaction_id order by decisions.line) = 1
        and row_number() over (partition by decisions.in_transaction_id order by decisions.line) = 1
),

free_of_decision as (
    select * from legs where transaction_id not in (select unnest([out_transaction_id, in_transaction_id]) from by_decision)
),

-- Whoever has a rejected pair waits until the others have theirs
in_turn as (select * from free_of_decision where transaction_id not in (select out_transaction_id from rejected)),

-- 1: each end names the other's IBAN. Equal transfers are told apart where more than four days lie between two movements
named_by_both as (
    select
        *,
        concat_ws(' ', case when is_out then own_iban else named_iban end, case when is_out then named_iban else own_iban end,
            currency, cents)                                        as queue
    from in_turn
    where names_own and own_iban is not null
),

stretches_of_both as (
    select *, sum(case when day - before <= 4 then 0 else 1 end) over (partition by queue order by day, transaction_id) as stretch
    from (select *, lag(day) over (partition by queue order by day, transaction_id) as before from named_by_both)
),

-- How many are under way after each movement, and at the end: so many too many left, or came, for each to have another end
counted_of_both as (
    select
        *,
        sum(case when is_out then 1 else -1 end) over in_turn       as under_way,
        sum(case when is_out then 1 else -1 end) over (partition by queue, stretch) as too_many
    from stretches_of_both
    window in_turn as (partition by queue, stretch order by day, is_out desc, transaction_id)
),

least_of_both as (
    select
        *,
        coalesce(min(under_way) over (in_turn rows between unbounded preceding and 1 preceding), 0) as least_before,
        min(under_way) over (in_turn rows between current row and unbounded following) as least_after
    from counted_of_both
    window in_turn as (partition by queue, stretch order by day, is_out desc, transaction_id)
),

-- Those are: what left for good, since from then on never fewer are under way, or what came when nothing was. The others queue: the
-- first that left is the first that came
places_of_both as (
    select *, row_number() over (partition by queue, stretch, is_out order by day, transaction_id) as place
    from least_of_both
    where not (is_out and under_way between 1 and too_many and under_way = least_after)
        and not (not is_out and under_way between too_many and -1 and under_way < least_before)
),

by_both_ibans as (
    select gone.transaction_id as out_transaction_id, came.transaction_id as in_transaction_id, 'both_ibans' as evidence
    from places_of_both as gone
    inner join places_of_both as came using (queue, stretch, place)
    where gone.is_out and not came.is_out and gone.account_id <> came.account_id and abs(came.day - gone.day) <= 10
),

free_of_both as (
    select *
    from free_of_decision
    where transaction_id not in (select unnest([out_transaction_id, in_transaction_id]) from by_both_ibans)
),

-- 2: the same in two currencies, also under one IBAN: amounts say nothing then, so each must be the other's only candidate
exchanges as (
    select
        gone.transaction_id                                         as out_transaction_id,
        came.transaction_id                                         as in_transaction_id,
        'exchange'                                                  as evidence,
        count(*) over (partition by gone.transaction_id)            as of_out,
        count(*) over (partition by came.transaction_id)            as of_in
    from (select *, cast(unnest(range(-4, 5)) as integer) as days from free_of_both where is_out) as gone
    inner join free_of_both as came
        on came.own_iban = gone.exchange_iban and came.exchange_iban = gone.own_iban and came.currency <> gone.currency
        and came.day = gone.day + gone.days
    anti join rejected
        on rejected.out_transaction_id = gone.transaction_id and rejected.in_transaction_id = came.transaction_id
    where not came.is_out
),

by_exchange as (select * exclude (of_out, of_in) from exchanges where of_out = 1 and of_in = 1),

free_of_exchange as (
    select *
    from free_of_both
    where transaction_id not in (select unnest([out_transaction_id, in_transaction_id]) from by_exchange)
),

-- 3: one end names the other's IBAN, the other end names nobody: they queue the same way
named_by_one as (
    select *, concat_ws(' ', named_iban, not is_out, currency, cents) as queue
    from free_of_exchange
    where names_own and transaction_id in (select transaction_id from in_turn)
    union all
    select *, concat_ws(' ', own_iban, is_out, currency, cents) as queue
    from free_of_exchange
    where named_iban is null and own_iban is not null and transaction_id in (select transaction_id from in_turn)
),

stretches_of_one as (
    select *, sum(case when day - before <= 4 then 0 else 1 end) over (partition by queue order by day, transaction_id) as stretch
    from (select *, lag(day) over (partition by queue order by day, transaction_id) as before from named_by_one)
),

counted_of_one as (
    select
        *,
        sum(case when is_out then 1 else -1 end) over in_turn       as under_way,
        sum(case when is_out then 1 else -1 end) over (partition by queue, stretch) as too_many
    from stretches_of_one
    window in_turn as (partition by queue, stretch order by day, is_out desc, transaction_id)
),

least_of_one as (
    select
        *,
        coalesce(min(under_way) over (in_turn rows between unbounded preceding and 1 preceding), 0) as least_before,
        min(under_way) over (in_turn rows between current row and unbounded following) as least_after
    from counted_of_one
    window in_turn as (partition by queue, stretch order by day, is_out desc, transaction_id)
),

places_of_one as (
    select *, row_number() over (partition by queue, stretch, is_out order by day, transaction_id) as place
    from least_of_one
    where not (is_out and under_way between 1 and too_many and under_way = least_after)
        and not (not is_out and under_way between too_many and -1 and under_way < least_before)
),

by_one_iban as (
    select gone.transaction_id as out_transaction_id, came.transaction_id as in_transaction_id, 'one_iban' as evidence
    from places_of_one as gone
    inner join places_of_one as came using (queue, stretch, place)
    where gone.is_out and not came.is_out and gone.account_id <> came.account_id and abs(came.day - gone.day) <= 4
),

free_of_one as (
    select *
    from free_of_exchange
    where transaction_id not in (select unnest([out_transaction_id, in_transaction_id]) from by_one_iban)
),

-- What is left is compared amount by amount, but for amounts that move all the time: they say nothing about any one movement
telling as (
    select *
    from free_of_one
    where (currency, cents) in (
        select (currency, cents)
        from free_of_one
        group by currency, cents
        having count(*) filter (where is_out) * count(*) filter (where not is_out) <= 1_000_000
    )
),

-- An IBAN that is named and is not the other end's speaks against a pair
candidates as (
    select
        gone.transaction_id                                         as out_transaction_id,
        came.transaction_id                                         as in_transaction_id,
        case
            when gone.names_own and came.names_own then 1
            when days <= 4 and gone.names_own and came.named_iban is null then 2
            when days <= 4 and came.names_own and gone.named_iban is null then 2
            when gone.end_to_end_id = came.end_to_end_id then 3
            when gone.is_marked and came.is_marked and days <= 4 then 4
            when days <= 4 and gone.named_iban is null and came.named_iban is null then 5
        end                                                         as rank
    from telling as gone
    inner join telling as came
        on came.currency = gone.currency and came.cents = gone.cents and came.account_id <> gone.account_id
    cross join lateral (select abs(came.day - gone.day) as days)
    anti join rejected
        on rejected.out_transaction_id = gone.transaction_id and rejected.in_transaction_id = came.transaction_id
    where gone.is_out and not came.is_out and days <= 10
        and (gone.named_iban is null or came.own_iban is null or gone.named_iban = came.own_iban)
        and (came.named_iban is null or gone.own_iban is null or came.named_iban = gone.own_iban)
        and not (gone.names_own and gone.named_iban is distinct from came.own_iban)
        and not (came.names_own and came.named_iban is distinct from gone.own_iban)
),

-- 4 to 6: the same reference, then the bank's own word for a transfer, then nothing but amount and day; before them the IBANs of
-- those that waited, or took up to ten days. Of several candidates with the best evidence that a movement has, none is taken
best as (
    select
        *,
        min(rank) over (partition by out_transaction_id)            as best_of_out,
        min(rank) over (partition by in_transaction_id)             as best_of_in
    from candidates
    where rank is not null
),

alone as (
    select
        *,
        count(*) over (partition by out_transaction_id)             as of_out,
        count(*) over (partition by in_transaction_id)              as of_in
    from best
    where rank = best_of_out and rank = best_of_in
),

by_the_rest as (
    select
        out_transaction_id,
        in_transaction_id,
        case rank when 1 then 'both_ibans' when 2 then 'one_iban' when 3 then 'reference' when 4 then 'kind' else 'amount' end as evidence
    from alone
    where of_out = 1 and of_in = 1
),

final as (
    select * from by_decision
    union all
    select * from by_both_ibans
    union all
    select * from by_exchange
    union all
    select * from by_one_iban
    union all
    select * from by_the_rest
)

select * from final
