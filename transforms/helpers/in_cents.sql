-- An exact sum as money, two decimals; null where it does not fit: what does not fit is unknown, not rounded.
-- given: amount

try_cast(amount as decimal(18, 2))
