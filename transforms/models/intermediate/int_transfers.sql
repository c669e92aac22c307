-- One row per pair of movements that are the two halves of one transfer between own accounts, by the best evidence.
-- grain:  out_transaction_id
-- checks: not_null(in_transaction_id), accepted(evidence, 'decision', 'both_ibans', 'exchange', 'one_iban', 'reference', 'kind', 'amount')

with

legs      as (select * from intermediate.int_transfer_legs),
decisions as (select * from seeds.transfers),
rejected  as (select out_transaction_id, in_transaction_id from decisions where decision = 'reject'),

-- 0: a person said so
by_decision as (
    select decisions.out_transaction_id, decisions.in_transaction_id, 'decision' as evidence
    from decisions
    inner join legs as outgoing on outgoing.transaction_id = decisions.out_transaction_id and outgoing.is_out
    inner join legs as incoming on incoming.transaction_id = decisions.in_transaction_id and not incoming.is_out
    where decisions.decision = 'confirm' and outgoing.account_id <> incoming.account_id
    qualify row_number() over (partition by decisions.out_transaction_id order by decisions.line) = 1
        and row_number() over (partition by decisions.in_transaction_id order by decisions.line) = 1
),

free_of_decision as (
    select * from legs where transaction_id not in (select unnest([out_transaction_id, in_transaction_id]) from by_decision)
),

-- A leg with a rejected pair waits until the others have theirs
in_turn as (select * from free_of_decision where transaction_id not in (select out_transaction_id from rejected)),

-- 1: each end names the other's IBAN
named_by_both as (
    select
        *,
        concat_ws(' ', case when is_out then own_iban else named_iban end, case when is_out then named_iban else own_iban end,
            currency, cents)                                        as queue
    from in_turn
    where names_own and own_iban is not null
),

queued_by_both as (select * from in_queue('named_by_both')),

by_both_ibans as (
    select outgoing.transaction_id as out_transaction_id, incoming.transaction_id as in_transaction_id, 'both_ibans' as evidence
    from queued_by_both as outgoing
    inner join queued_by_both as incoming using (queue, stretch, place)
    where outgoing.is_out and not incoming.is_out and outgoing.account_id <> incoming.account_id
        and abs(incoming.day - outgoing.day) <= 10
),

free_of_both as (
    select *
    from free_of_decision
    where transaction_id not in (select unnest([out_transaction_id, in_transaction_id]) from by_both_ibans)
),

-- 2: the same in two currencies, also under one IBAN: amounts say nothing then, so each must be the other's only candidate
exchanges as (
    select
        outgoing.transaction_id                                     as out_transaction_id,
        incoming.transaction_id                                     as in_transaction_id,
        'exchange'                                                  as evidence,
        count(*) over (partition by outgoing.transaction_id)        as of_out,
        count(*) over (partition by incoming.transaction_id)        as of_in
    from (select *, cast(unnest(range(-4, 5)) as integer) as days from free_of_both where is_out) as outgoing
    inner join free_of_both as incoming
        on incoming.own_iban = outgoing.exchange_iban and incoming.exchange_iban = outgoing.own_iban
        and incoming.currency <> outgoing.currency and incoming.day = outgoing.day + outgoing.days
    anti join rejected
        on rejected.out_transaction_id = outgoing.transaction_id and rejected.in_transaction_id = incoming.transaction_id
    where not incoming.is_out
),

by_exchange as (select * exclude (of_out, of_in) from exchanges where of_out = 1 and of_in = 1),

free_of_exchange as (
    select *
    from free_of_both
    where transaction_id not in (select unnest([out_transaction_id, in_transaction_id]) from by_exchange)
),

-- 3: one end names the other's IBAN, the other end names no IBAN: they queue the same way
named_by_one as (
    select *, concat_ws(' ', named_iban, not is_out, currency, cents) as queue
    from free_of_exchange
    where names_own and transaction_id in (select transaction_id from in_turn)
    union all
    select *, concat_ws(' ', own_iban, is_out, currency, cents) as queue
    from free_of_exchange
    where named_iban is null and own_iban is not null and transaction_id in (select transaction_id from in_turn)
),

queued_by_one as (select * from in_queue('named_by_one')),

by_one_iban as (
    select outgoing.transaction_id as out_transaction_id, incoming.transaction_id as in_transaction_id, 'one_iban' as evidence
    from queued_by_one as outgoing
    inner join queued_by_one as incoming using (queue, stretch, place)
    where outgoing.is_out and not incoming.is_out and outgoing.account_id <> incoming.account_id
        and abs(incoming.day - outgoing.day) <= 4
),

free_of_one as (
    select *
    from free_of_exchange
    where transaction_id not in (select unnest([out_transaction_id, in_transaction_id]) from by_one_iban)
),

-- The rest is compared amount by amount, except amounts that move all the time: they say nothing about any one movement
comparable as (
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
        outgoing.transaction_id                                     as out_transaction_id,
        incoming.transaction_id                                     as in_transaction_id,
        case
            when outgoing.names_own and incoming.names_own then 1
            when days <= 4 and outgoing.names_own and incoming.named_iban is null then 2
            when days <= 4 and incoming.names_own and outgoing.named_iban is null then 2
            when outgoing.end_to_end_id = incoming.end_to_end_id then 3
            when outgoing.is_marked and incoming.is_marked and days <= 4 then 4
            when days <= 4 and outgoing.named_iban is null and incoming.named_iban is null then 5
        end                                                         as rank
    from comparable as outgoing
    inner join comparable as incoming
        on incoming.currency = outgoing.currency and incoming.cents = outgoing.cents and incoming.account_id <> outgoing.account_id
    cross join lateral (select abs(incoming.day - outgoing.day) as days)
    anti join rejected
        on rejected.out_transaction_id = outgoing.transaction_id and rejected.in_transaction_id = incoming.transaction_id
    where outgoing.is_out and not incoming.is_out and days <= 10
        and (outgoing.named_iban is null or incoming.own_iban is null or outgoing.named_iban = incoming.own_iban)
        and (incoming.named_iban is null or outgoing.own_iban is null or incoming.named_iban = outgoing.own_iban)
        and not (outgoing.names_own and outgoing.named_iban is distinct from incoming.own_iban)
        and not (incoming.names_own and incoming.named_iban is distinct from outgoing.own_iban)
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
