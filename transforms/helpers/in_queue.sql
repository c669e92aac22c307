-- The legs of each queue that have another end, each with its place there: the first that left is the first that arrived.
-- given: legs

with

-- Equal transfers are separated where more than four days lie between two movements
stretches as (
    select *, sum(case when day - before <= 4 then 0 else 1 end) over (partition by queue order by day, transaction_id) as stretch
    from (select *, lag(day) over (partition by queue order by day, transaction_id) as before from query_table(legs))
),

-- How many are under way after each movement, and at the end: that many have left, or arrived, without another end
counted as (
    select
        *,
        sum(case when is_out then 1 else -1 end) over in_turn       as under_way,
        sum(case when is_out then 1 else -1 end) over (partition by queue, stretch) as too_many
    from stretches
    window in_turn as (partition by queue, stretch order by day, is_out desc, transaction_id)
),

least as (
    select
        *,
        coalesce(min(under_way) over (in_turn rows between unbounded preceding and 1 preceding), 0) as least_before,
        min(under_way) over (in_turn rows between current row and unbounded following) as least_after
    from counted
    window in_turn as (partition by queue, stretch order by day, is_out desc, transaction_id)
)

-- Legs without another end are dropped: one that left for good (from then on never fewer are under way), and one that arrived when
-- nothing was under way. The rest is paired first in, first out
select *, row_number() over (partition by queue, stretch, is_out order by day, transaction_id) as place
from least
where not (is_out and under_way between 1 and too_many and under_way = least_after)
    and not (not is_out and under_way between too_many and -1 and under_way < least_before)
