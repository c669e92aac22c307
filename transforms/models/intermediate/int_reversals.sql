-- One row per booked transaction that reverses an earlier one: a returned or cancelled payment, in either direction.
-- grain:  transaction_id
-- checks: not_null(reversal_of), accepted(evidence, 'reference', 'counterparty', 'text')

with recursive

accounts as (select account_id, own_iban from intermediate.int_account_identities where own_iban is not null),

decided as (select unnest([out_transaction_id, in_transaction_id]) as transaction_id from seeds.transfers where decision = 'confirm'),

-- Most amounts never go both ways: of those no text has to be looked at
both_ways as (
    select account_id, currency, abs(amount) as amount
    from intermediate.int_transaction_versions
    where valid_to is null and status = 'booked' and amount <> 0
    group by account_id, currency, abs(amount)
    having min(amount) < 0 and max(amount) > 0
),

booked as (
    select
        transaction_id,
        account_id,
        booked_on                                                   as day,
        currency,
        cast(cast(abs(amount) as decimal(38, 2)) * 100 as bigint)     as cents,
        amount < 0                                                  as is_out,
        nullif(upper(replace(counterparty_iban, ' ', '')), '')      as iban,
        lower(trim(counterparty_name))                              as name,
        -- a reference that only says that there is none identifies no payment
        case
            when length(letters) > 1 and letters not in ('NOTPROVIDED', 'NONREF', 'NONE', 'NA', 'KEINE', 'KEINEREFERENZ', 'BRAK')
                then end_to_end_id
        end                                                         as reference,
        lower(concat_ws(' ', transaction_type, description, array_to_string(labels, ' '))) as text
    from intermediate.int_transaction_versions as versions
    semi join both_ways
        on both_ways.account_id = versions.account_id and both_ways.currency = versions.currency and both_ways.amount = abs(versions.amount)
    cross join lateral (select upper(regexp_replace(end_to_end_id, '[^0-9A-Za-z]', '', 'g')) as letters)
    where valid_to is null and status = 'booked' and amount <> 0
        and transaction_id not in (select transaction_id from decided)
),

-- How banks call what comes back, in German, Polish, Czech and English
marked as (
    select
        *,
        regexp_matches(
            text,
            'r(ü|ue|u)ck(lastschrift|buchung|gabe|belastung|überweisung|ueberweisung|zahlung)|retoure|retour\b|storno|stornierung'
            || '|widerruf|zwrot|anulowan|korekta|vr[aá]cen|zrušen|return|revers|refund|chargeback|cancell?ation|rebooking'
        )                                                           as is_marked
    from booked
),

-- Own money that has reached an own account came back by another transfer: neither is a return
arrived as (
    select marked.transaction_id
    from marked
    inner join accounts as here on here.account_id = marked.account_id
    inner join accounts as there on there.own_iban = marked.iban
    inner join intermediate.int_transaction_versions as other
        on other.account_id = there.account_id and other.currency = marked.currency
        and other.amount = marked.cents * case when marked.is_out then 0.01 else -0.01 end
    where other.valid_to is null and other.status = 'booked' and other.booked_on between marked.day - 10 and marked.day + 10
        and upper(replace(other.counterparty_iban, ' ', '')) = here.own_iban
),

-- An amount that moves all the time says nothing about any one movement
comparable as (
    select *
    from marked
    where transaction_id not in (select transaction_id from arrived) and (account_id, currency, cents) in (
        select (account_id, currency, cents)
        from marked
        group by account_id, currency, cents
        having count(*) filter (where is_out) * count(*) filter (where not is_out) <= 1_000_000
    )
),

-- A payment is given back within eight weeks (SEPA's term for a direct debit) and a few banking days
pairs as (
    select
        later.transaction_id,
        earlier.transaction_id                                      as reversal_of,
        later.day - earlier.day                                     as days,
        case
            when later.reference = earlier.reference and (later.iban is null or earlier.iban is null or later.iban = earlier.iban)
                then 1
            when later.is_marked and later.iban = earlier.iban then 2
            when later.is_marked and (later.iban is null or earlier.iban is null)
                and (later.name = earlier.name or contains(later.text, earlier.name))
                then 2
            when later.is_marked and later.iban is null and days <= 14 then 3
        end                                                         as rank
    from comparable as later
    -- by an equality: an amount that moves often in one direction would meet itself with `<>`
    inner join comparable as earlier
        on earlier.account_id = later.account_id and earlier.currency = later.currency and earlier.cents = later.cents
        and earlier.is_out = not later.is_out and later.day between earlier.day and earlier.day + 60
    where later.transaction_id <> earlier.transaction_id
        and not earlier.is_marked
        and (later.is_marked or later.reference is not null)
),

-- Nothing but a word and the amount: only where no other payment could be meant
candidates as (
    select *
    from pairs
    where rank is not null
    qualify rank < 3
        or (count(*) over (partition by transaction_id) = 1 and count(*) over (partition by reversal_of) = 1)
),

ranked as (
    select *, row_number() over (order by rank, days, reversal_of desc, transaction_id) as place from candidates
),

-- Pairs in which each is the other's first choice are taken first, then the same among the rest, until none is left
rounds as (
    select
        *,
        place = min(place) over (partition by transaction_id) and place = min(place) over (partition by reversal_of) as is_taken
    from ranked
    union all
    select
        * exclude (is_over),
        place = min(place) over (partition by transaction_id) and place = min(place) over (partition by reversal_of) as is_taken
    from (
        select
            * exclude (is_taken),
            bool_or(is_taken) over (partition by transaction_id) or bool_or(is_taken) over (partition by reversal_of) as is_over
        from rounds
    )
    where not is_over
),

final as (
    select
        transaction_id,
        reversal_of,
        case rank when 1 then 'reference' when 2 then 'counterparty' else 'text' end as evidence
    from rounds
    where is_taken
)

select * from final
