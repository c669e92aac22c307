"""Rows that a bank shows though their day lies before the window: booked long after the payment, or moved back by a correction.

Such a day is not shown whole, so nothing is claimed for it and nobody counts its rows; but what is shown there is shown, and a
row that is dropped for its day would never be seen again.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.store.shape import Shape


def news_before_the_window(shape: "Shape", settled: str, oldest_first: str) -> str:
    """SQL for the rows of `answered` before `$claim` that are not known as they are shown, identified like those of `settled`.

    A bank's own ids tell them apart. Without ids, a row is known if there is one of that day and amount with the same mark
    (`shape.told_apart_by`); of several each is taken once. What is left takes the place of a reservation that is shown no more,
    or numbers on from those that are known, as counting the whole day would have it.
    """
    group = f"window_on, {shape.amount}"
    mark = f"coalesce({shape.told_apart_by}, date '0001-01-01')" if shape.told_apart_by else "null"
    return f"""
        with

        shown as (
            select
                *,
                {mark} as mark,
                row_number() over (partition by {group}, {mark} order by position {oldest_first}) as nth
            from answered
            where window_on < $claim
        ),

        known as (
            select
                {group}, transaction_id, occurrence, {shape.booked} as booked,
                {shape.version(without=shape.shifting)} as content,
                {mark} as mark,
                row_number() over (partition by {group}, {mark} order by occurrence) as nth
            from {shape.table}
            where account_id = $account and _dlt_valid_to is null
        ),

        news as (
            select
                * exclude (mark, nth),
                row_number() over (partition by {group} order by position {oldest_first}) as nth
            from shown
            anti join known using ({group}, mark, nth)
        ),

        reserved as (
            select {group}, list(occurrence order by occurrence) as places
            from known
            anti join shown using ({group}, mark, nth)
            where not booked
            group by all
        ),

        taken as (select {group}, max(occurrence) as highest from known group by all),

        numbered as (
            select
                news.* exclude (nth),
                true as late,
                coalesce(places[nth], coalesce(highest, 0) + nth - coalesce(len(places), 0)) as occurrence,
                0 as position_in_day
            from news
            left join reserved using ({group})
            left join taken using ({group})
        ),

        identified as ({shape.identified("numbered")})

        select identified.*
        from identified
        left join known using (transaction_id)
        where identified.content is distinct from known.content
            and transaction_id not in (select transaction_id from {settled})
        """
