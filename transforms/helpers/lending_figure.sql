-- The figure that a payment counts in when a lender asks, by its kind and direction; what was given back is not asked about here.
-- given: payment_kind, is_out

case
    when payment_kind in ('own_transfer', 'refund') then payment_kind
    when is_out then case
        when payment_kind in ('rent', 'utilities', 'insurance', 'subscription', 'gambling', 'cash', 'tax') then payment_kind
        when payment_kind = 'loan' then 'loan_instalment'
        else 'other_spending'
    end
    when payment_kind in ('salary', 'pension', 'benefits') then payment_kind
    when payment_kind is null or payment_kind = 'rent' then 'other_income'
    -- a loan that is paid out, winnings, cash that is paid in, interest, and money back from who is paid otherwise
    else 'not_income'
end
