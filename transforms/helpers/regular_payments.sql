-- The payments of each stream that follow one another in equal intervals, with the interval, of the streams of which most do.
-- given: streams

with

-- The days from one payment to the next, and to the next but one where one is missing: paydays move, and weekends and holidays move them
cadences as (
    select * from (
        values
            ('weekly', 7, 0, 5, 9, 12, 16, 3),
            ('two-weekly', 14, 0, 11, 17, 25, 31, 4),
            ('monthly', 31, 1, 24, 38, 54, 68, 7),
            ('quarterly', 92, 3, 80, 103, 170, 196, 12),
            ('half-yearly', 184, 6, 168, 197, 350, 380, 16),
            ('yearly', 366, 12, 345, 386, 710, 750, 21)
    ) as listed (cadence, step_days, step_months, least, most, least_twice, most_twice, tolerance)
),

stepped as (
    select
        *,
        day - lag(day) over in_turn                                 as gap,
        abs(cents - lag(cents) over in_turn) * 5 <= lag(cents) over in_turn as is_near
    from query_table(streams)
    window in_turn as (partition by stream order by day, transaction_id)
),

usual as (select stream, quantile_disc(gap, 0.5) as usual_gap from stepped group by stream having count(gap) >= 2),

timed as (
    select
        stepped.*,
        cadences.*,
        case when gap between least and most then 1 when gap between least_twice and most_twice then 2 end as periods
    from stepped
    inner join usual using (stream)
    inner join cadences on usual.usual_gap between cadences.least and cadences.most
),

-- Two intervals at least, three quarters of all, and amounts that mostly stay within a fifth of the one before. Weeks are exact:
-- what comes on the 1st and the 15th of a month does not come every two weeks
kept as (
    select stream
    from timed
    group by stream
    having count(*) filter (where periods = 1) >= 2
        and 4 * count(periods) >= 3 * count(gap)
        and 4 * count(*) filter (where is_near) >= 3 * count(gap)
        and (
            max(step_months) > 0
            or 2 * sum(gap - step_days) filter (where periods = 1) between -count(*) filter (where periods = 1)
                and count(*) filter (where periods = 1)
        )
),

linked as (
    select * from timed semi join kept using (stream)
    qualify periods is not null or lead(periods) over (partition by stream order by day, transaction_id) is not null
),

-- One payment an interval: a second one of the same month, as a 13th salary, is none of the series
final as (
    select *
    from linked
    qualify coalesce(day - lag(day) over (partition by stream order by day, transaction_id) >= least, true)
)

select * exclude (gap, is_near, periods, step_days, least, most, least_twice, most_twice) from final
