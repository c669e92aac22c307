-- What a payment is for, without the numbers and months that change from one to the next; null where that says too little.
-- given: description

list_transform(
    -- plain words are letters, numbers and blanks
    [trim(regexp_replace(plain_words(description), '[\p{N} ]+', ' ', 'g'))],
    lambda letters: case
        when length(letters) >= 4 then nullif(trim(regexp_replace(
            -- two blanks for one: a month may stand beside another
            concat(' ', replace(letters, ' ', '  '), ' '),
            ' (januar|februar|marz|maerz|april|mai|juni|juli|august|september|oktober|november|dezember|january|february|march|may'
            || '|june|july|october|december|styczen|luty|marzec|kwiecien|maj|czerwiec|lipiec|sierpien|wrzesien|pazdziernik'
            || '|listopad|grudzien|leden|unor|brezen|duben|kveten|cerven|cervenec|srpen|zari|rijen|prosinec) ',
            ' ', 'g'
        )), '')
    end
)[1]
