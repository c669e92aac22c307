-- The amount times a fraction, rounded to the cent in whole numbers, halves away from zero; null without a fraction, or too large.
-- given: amount, numerator, denominator

try_cast(
    sign(amount) * (
        (2 * cast(cast(abs(amount) as decimal(38, 2)) * 100 as hugeint) * numerator + denominator) // (2 * cast(denominator as hugeint))
    ) * 0.01
    as decimal(18, 2)
)
