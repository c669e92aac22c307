-- A sum of money in is negative, or money that goes out is positive.
select account_id from ledger.balances_daily where money_in < 0 or money_out > 0
union all
select account_id from ledger.standing_orders where amount > 0
union all
select account_id from ledger.timed_orders where amount > 0
