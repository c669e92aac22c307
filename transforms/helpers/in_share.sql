-- A part of a whole of the same sign, four decimals, rounded in whole numbers, halves up; null where the whole is zero or unknown.
-- given: part, whole

case when whole <> 0 then cast(
    (2 * cast(abs(part) * 100 as hugeint) * 10000 + cast(abs(whole) * 100 as hugeint)) // (2 * cast(abs(whole) * 100 as hugeint)) * 0.0001
    as decimal(18, 4)
) end
