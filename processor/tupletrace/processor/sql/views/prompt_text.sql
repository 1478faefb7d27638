-- What a prompt says, without what users say: of messages those of the system, of a template all, as lines; other text as
-- it is; NULL where nothing is left.
CREATE OR REPLACE MACRO prompt_text(said) AS CASE json_type(TRY_CAST(said AS JSON))
    WHEN 'ARRAY' THEN nullif(
        array_to_string(
            list_transform(
                json_extract(TRY_CAST(said AS JSON), '$[*]'),
                lambda one: CASE
                    WHEN json_extract(one, '$.parts') IS NULL
                        THEN concat_ws(': ', one ->> 'role', coalesce(one ->> 'content', one ->> '$'))
                    WHEN one ->> 'role' IN ('system', 'developer')
                        THEN array_to_string(json_extract_string(one, '$.parts[*].content'), chr(10))
                END
            ),
            chr(10)
        ),
        ''
    )
    ELSE said
END;
