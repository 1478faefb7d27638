-- What the last user among messages in the conventions' JSON said; NULL where that is not there, hidden or no text.
CREATE OR REPLACE MACRO last_question(messages) AS
    list_extract(
        list_filter(
            list_transform(
                TRY_CAST(TRY_CAST(messages AS JSON) AS JSON[]),
                lambda message: CASE WHEN message ->> 'role' = 'user'
                    THEN trim(array_to_string(message ->> '$.parts[*].content', chr(10)))
                END
            ),
            lambda said: said <> '' AND NOT regexp_matches(said, '(?i)redacted|scrubbed due|^[[]?[{]"')
        ),
        -1
    );
