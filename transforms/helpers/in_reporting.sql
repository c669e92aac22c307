-- The amount in the reporting currency, rounded to the cent in whole numbers, halves away from zero; null without a rate, or too large.
-- given: amount, of_this, of_reporting

try_cast(
    sign(amount) * (
        (2 * cast(cast(abs(amount) as decimal(38, 2)) * 100 as hugeint) * of_reporting + of_this) // (2 * cast(of_this as hugeint))
    ) * 0.01
    as decimal(18, 2)
)
