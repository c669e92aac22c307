-- What a payment is for, without the numbers and months that change from one to the next; null where that says too little.
-- given: description

case
    when length(trim(regexp_replace(plain_words(description), '[^\p{L}]+', ' ', 'g'))) >= 4
        then nullif(trim(regexp_replace(
            -- two blanks for one: a month may stand beside another
            concat(' ', replace(regexp_replace(plain_words(description), '[^\p{L}]+', ' ', 'g'), ' ', '  '), ' '),
            ' (januar|februar|marz|maerz|april|mai|juni|juli|august|september|oktober|november|dezember|january|february|march|may'
            || '|june|july|october|december|styczen|luty|marzec|kwiecien|maj|czerwiec|lipiec|sierpien|wrzesien|pazdziernik'
            || '|listopad|grudzien|leden|unor|brezen|duben|kveten|cerven|cervenec|srpen|zari|rijen|prosinec) ',
            ' ', 'g'
        )), '')
end
