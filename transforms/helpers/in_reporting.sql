-- The amount in the reporting currency, rounded to the cent in whole numbers, halves away from zero; null without a rate, or too large.
-- given: amount, of_this, of_reporting

in_proportion(amount, of_reporting, of_this)
