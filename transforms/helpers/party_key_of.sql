-- A number for the payments of one account and currency, in one direction, with one party.
-- given: account_id, currency, amount, party_iban, party_name

hash(account_id, currency, amount < 0, coalesce(upper(replace(party_iban, ' ', '')), lower(party_name)))
