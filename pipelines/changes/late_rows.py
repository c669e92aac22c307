"""Rows that a bank shows though their day lies before the window: booked long after the payment, or moved back by a correction.

Such a day is not shown whole, so nothing is claimed for it and nobody counts its rows; but what is shown there is shown, and a
row that is dropped for its day would never be seen again.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.store.shape import Shape


def news_before_the_window(shape: "Shape", oldest_first: str, *, answered: str, diffed: str) -> str:
    """Returns SQL for the rows before `$claim` that are not known as they are shown, identified like those of the window.

    `answered` names the relation of all that the bank showed, `diffed` the table of the rows inside the window. Parameters of the
    SQL: `$account`, `$import`, `$claim`.

    A bank's own ids tell them apart. Without ids, a row is known if there is one of that day and amount with the same mark
    (`shape.told_apart_by`); duplicates are matched one to one. What is left takes the place of a reservation that is shown no
    more, or numbers on from those that are known, as counting the whole day would have it.
    """
    # Rows of other days and ids are none of those that are shown; numbering them all would cost as much as the history is long.
    may_be_shown = "window_on in (select window_on from shown)"
    if shape.has_ids:
        may_be_shown = f"({may_be_shown} or {shape.key} in (select {shape.key} from shown))"
    group = f"window_on, {shape.amount}"
    mark = f"coalesce({shape.told_apart_by}, date '0001-01-01')" if shape.told_apart_by else "null"
    return f"""
        with

        shown as (
            select
                {shape.counted},
                {mark} as mark,
                row_number() over (partition by {group}, {mark} order by position {oldest_first}) as nth
            from {answered}
            where window_on < $claim
        ),

        known as (
            select
                {group}, transaction_id, occurrence, {shape.booked} as booked,
                {shape.version(without=shape.shifting)} as content,
                {mark} as mark,
                row_number() over (partition by {group}, {mark} order by occurrence) as nth
            from {shape.table}
            where account_id = $account and _dlt_valid_to is null and {may_be_shown}
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

        identified as ({shape.identified(answered, "numbered")})

        select identified.*
        from identified
        left join known using (transaction_id)
        where identified.content is distinct from known.content
            and transaction_id not in (select transaction_id from {diffed})
        """
