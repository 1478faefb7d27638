-- What the sources of the dialects call. LangSmith writes Python's repr of a dict, Traceloop JSON in a JSON string.
CREATE MACRO unquoted(raw) AS replace(replace(raw, '''', '"'), 'None', 'null');

CREATE MACRO as_json(raw) AS CASE
    WHEN (starts_with(raw, '"{') OR starts_with(raw, '"[')) AND json_valid(json_extract_string(TRY_CAST(raw AS JSON), '$'))
        THEN json_extract_string(TRY_CAST(raw AS JSON), '$')
    WHEN json_valid(raw) THEN raw
    WHEN json_valid(unquoted(raw)) THEN unquoted(raw)
END;

CREATE MACRO in_list(said) AS CASE WHEN said IS NOT NULL THEN json_array(said) END;
-- LangChain's handler of Langfuse appends the tools to the messages.
CREATE MACRO is_tool(said) AS said ->> 'role' = 'tool' AND said ->> '$.content.type' = 'function';

CREATE MACRO tools_among(v) AS CASE WHEN json_type(v) = 'ARRAY' THEN nullif(CAST(to_json(list_transform(
    list_filter(CAST(v AS JSON[]), lambda m: coalesce(is_tool(m), FALSE)), lambda m: json_extract(m, '$.content')
)) AS VARCHAR), '[]') END;

CREATE MACRO without_tools(v) AS CASE WHEN tools_among(v) IS NOT NULL
    THEN to_json(list_filter(CAST(v AS JSON[]), lambda m: NOT coalesce(is_tool(m), FALSE))) END;

CREATE MACRO sum_keys(v, pattern) AS CAST(list_sum(list_transform(
    list_filter(json_keys(v), lambda k: regexp_full_match(k, pattern)),
    lambda k: TRY_CAST(json_extract_string(v, '$."' || k || '"') AS BIGINT)
)) AS BIGINT);

-- From nanoseconds, a plus, and a time in ISO 8601, perhaps in quotes.
CREATE MACRO seconds_between(said) AS (
    epoch_ns(CAST(trim(substr(said, instr(said, '+') + 1), '"') AS TIMESTAMPTZ)) - CAST(split_part(said, '+', 1) AS BIGINT)
) / 1e9;

-- LangGraph's `plan:<id>|1|look:<id>` is `plan/look`: the number tells graphs that one node called apart.
CREATE MACRO graph_path(namespace) AS CASE WHEN contains(namespace, '|') THEN array_to_string(list_transform(
    list_filter(string_split(namespace, '|'), lambda part: NOT regexp_full_match(part, '[0-9]+')),
    lambda part: split_part(part, ':', 1)
), '/') END;

-- The events of a call: what was asked, then what was answered, be it choices or what the assistant says last.
CREATE MACRO answered_at(names) AS coalesce(
    nullif(list_position(names, 'gen_ai.choice'), 0),
    1 + len(names) - len(regexp_extract(
        list_aggregate(list_transform(names, lambda name: CASE name WHEN 'gen_ai.assistant.message' THEN 'a' ELSE '-' END), 'string_agg', ''),
        'a*$'
    ))
);

CREATE MACRO asked_in(v) AS to_json(list_slice(elements(v), 1, answered_at(json_extract_string(v, '$[*]."event.name"')) - 1));

CREATE MACRO answered_in(v) AS
    nullif(to_json(list_slice(elements(v), answered_at(json_extract_string(v, '$[*]."event.name"')), len(elements(v)))), '[]');
