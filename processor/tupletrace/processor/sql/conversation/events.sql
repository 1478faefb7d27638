-- `events` (span, place, time, name, said, failed): events of spans -> what they add to the attributes of their spans.
CREATE MACRO event_field(key, value) AS CASE
    WHEN key IN ('content', 'role', 'id', 'name') THEN to_json(value) ELSE json_or_text(value)
END;

CREATE MACRO event_fields(said) AS to_json(map_from_entries(list_transform(
    map_entries(said), lambda one: {'key': one.key, 'value': event_field(one.key, one.value)}
)));

-- A message without its role, as its event has it: in the attributes, or in the body of a log record.
CREATE MACRO event_message(role, said) AS json_merge_patch(
    json_object('role', role),
    CASE
        WHEN said['@body'] IS NULL THEN event_fields(said)
        WHEN json_type(json_or_text(said['@body'])) = 'OBJECT' THEN json_or_text(said['@body'])
        ELSE json_object('content', said['@body'])
    END
);

-- What an exception is called without its module; LangSmith's has its representation for a message.
CREATE MACRO exception_name(said) AS coalesce(
    CASE
        WHEN said['exception.type'] = 'Exception'
            THEN nullif(regexp_extract(said['exception.message'], '^([A-Za-z_][A-Za-z0-9_]*)\(', 1), '')
    END,
    regexp_extract(said['exception.type'], '[^.]*$')
);

-- Monocle's: {"user": "Hi"}, or a list of such objects, each perhaps in a string. Calls stand in the place of a
-- text, or, as their answers, in that of a message.
CREATE MACRO told_call(said) AS json_object(
    'id', json_extract(said, '$.call_id'),
    'name', json_extract(said, '$.tool_function'),
    'arguments', json_extract(said, '$.tool_arguments')
);

CREATE MACRO told_message(said) AS CASE
    WHEN json_exists(said, '$.tool_function')
        THEN json_object('role', 'assistant', 'tool_calls', json_array(told_call(said)))
    WHEN json_exists(said, '$.call_id')
        THEN json_object('role', 'tool', 'tool_call_id', said ->> 'call_id', 'content', json_extract(said, '$.output'))
    WHEN json_type(said) = 'OBJECT' AND len(json_keys(said)) = 1 THEN list_transform(
        [json_extract(said, '$.*')[1]],
        lambda content: CASE
            WHEN json_exists(unpacked(json_extract(content, '$[0]')), '$.tool_function') THEN json_object(
                'role', json_keys(said)[1],
                'tool_calls', list_transform(CAST(content AS JSON[]), lambda one: told_call(unpacked(one)))
            )
            ELSE json_object('role', json_keys(said)[1], 'content', content)
        END
    )[1]
    ELSE said
END;

CREATE MACRO told_by_role(said) AS CASE
    WHEN NOT json_valid(said) OR json_type(said) NOT IN ('OBJECT', 'ARRAY') THEN said
    ELSE CAST(to_json(list_transform(
        list_transform(
            CASE WHEN json_type(said) = 'ARRAY' THEN CAST(said AS JSON[]) ELSE [CAST(said AS JSON)] END,
            lambda one: unpacked(one)
        ),
        lambda one: told_message(one)
    )) AS VARCHAR)
END;

CREATE MACRO said_in_events(events) AS TABLE
WITH messages AS (
    SELECT
        span, time, place,
        CASE WHEN name = 'gen_ai.choice' THEN 'output' ELSE 'input' END AS side,
        event_message(
            CASE WHEN name = 'gen_ai.choice' THEN 'assistant' ELSE split_part(name, '.', 2) END, said
        ) AS message
    FROM query_table(events)
    WHERE name LIKE 'gen_ai.%.message' OR name = 'gen_ai.choice'
)
SELECT span, '@events.' || side AS key, '[' || string_agg(CAST(message AS VARCHAR), ',' ORDER BY time, place) || ']' AS value
FROM messages
GROUP BY span, side
UNION ALL
SELECT span, '@events.prompt', coalesce(said['gen_ai.prompt'], said['@body'])
FROM query_table(events)
WHERE name = 'gen_ai.content.prompt'
UNION ALL
SELECT span, '@events.completion', coalesce(said['gen_ai.completion'], said['@body'])
FROM query_table(events)
WHERE name = 'gen_ai.content.completion'
UNION ALL
SELECT
    span,
    CASE name WHEN 'data.input' THEN '@events.told_input' ELSE '@events.told_output' END,
    told_by_role(coalesce(said['input'], said['response'], said['output']))
FROM query_table(events)
WHERE name IN ('data.input', 'data.output')
  -- An error stands in the place of the answer.
  AND NOT (coalesce(failed, FALSE) AND said['error_code'] IS NOT NULL)
UNION ALL
SELECT span, '@events.error_code', said['error_code']
FROM query_table(events)
WHERE name = 'data.output'
  AND failed
  AND said['error_code'] IS NOT NULL
UNION ALL
SELECT span, '@events.first_token', CAST(min(time) AS VARCHAR)
FROM query_table(events)
WHERE name = 'First Token Stream Event'
GROUP BY span
UNION ALL
-- The last one is what it failed with.
SELECT span, '@exception.type', arg_max(exception_name(said), (time, place))
FROM query_table(events)
WHERE name = 'exception'
  AND said['exception.type'] IS NOT NULL
GROUP BY span
UNION ALL
SELECT span, CASE WHEN name = 'metadata' THEN '@metadata.' || entry.key ELSE entry.key END, entry.value
FROM (
    SELECT span, name, unnest(map_entries(said)) AS entry
    FROM query_table(events)
    WHERE name IN ('metadata', 'gen_ai.client.inference.operation.details')
) AS details;
