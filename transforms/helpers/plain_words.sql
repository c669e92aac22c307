-- The words of a text in small letters, one blank between two; case, accents and punctuation are spelling. Null where there are none.
-- given: written

nullif(
    trim(regexp_replace(
        -- letters that Unicode does not take apart
        replace(replace(replace(translate(lower(strip_accents(written)), 'łøđ', 'lod'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'),
        '[^\p{L}\p{N}]+', ' ', 'g'
    )),
    ''
)
