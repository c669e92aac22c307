-- The bank's own word for a code of value added tax: its category, or its rate beside no category or the bare category `VAT`.
-- given: category, vat_rate

case
    when category is null then upper(vat_rate)
    when upper(category) = 'VAT' then coalesce(upper(vat_rate), 'VAT')
    else upper(category)
end
