-- A pending transaction has a booked day, or a booked one has none.
select transaction_id
from ledger.transactions
where (status = 'booked') is distinct from (booked_on is not null)
