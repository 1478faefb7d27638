-- Chat messages of any vendor -> the JSON of the semantic conventions: how values and roles are read.
CREATE MACRO elements(list) AS
    CASE WHEN json_type(list) = 'ARRAY' THEN CAST(list AS JSON[]) ELSE CAST([] AS JSON[]) END;

CREATE MACRO json_or_text(said) AS
    CASE WHEN regexp_matches(said, '^\s*[\[{]') AND json_valid(said) THEN CAST(said AS JSON) ELSE to_json(said) END;

-- JSON as it is, and what stands in a string, be it JSON or text.
CREATE MACRO unpacked(said) AS
    CASE WHEN json_type(said) = 'VARCHAR' THEN json_or_text(said ->> '$') ELSE said END;

CREATE MACRO role_of(said, side) AS CASE coalesce(lower(said), side)
    WHEN 'ai' THEN 'assistant' WHEN 'agent' THEN 'assistant' WHEN 'model' THEN 'assistant'
    WHEN 'aimessagechunk' THEN 'assistant' WHEN 'output' THEN 'assistant' WHEN 'chatbot' THEN 'assistant'
    WHEN 'choice' THEN 'assistant' WHEN 'tools' THEN 'assistant' WHEN 'response' THEN 'assistant'
    WHEN 'human' THEN 'user' WHEN 'input' THEN 'user' WHEN 'request' THEN 'user' WHEN 'function' THEN 'tool'
    WHEN 'systemmessage' THEN 'system' WHEN 'humanmessage' THEN 'user' WHEN 'aimessage' THEN 'assistant'
    WHEN 'toolmessage' THEN 'tool' WHEN 'tool-call' THEN 'assistant' WHEN 'tool-response' THEN 'user'
    WHEN 'reasoning' THEN 'assistant' WHEN 'function_call' THEN 'assistant' WHEN 'function_call_output' THEN 'tool'
    WHEN 'message' THEN CASE side WHEN 'output' THEN 'assistant' ELSE 'user' END
    ELSE lower(said)
END;

-- A list of blocks that somebody wrote into a string; a text that merely is JSON stays a text.
CREATE MACRO opened(said) AS CASE
    WHEN json_type(said) = 'VARCHAR' AND (said ->> '$') LIKE '[{%' AND json_valid(said ->> '$')
        AND coalesce(
            json_type(said ->> '$', '$[0].type'), json_type(said ->> '$', '$[0].text'),
            json_type(said ->> '$', '$[0].toolUse'), json_type(said ->> '$', '$[0].toolResult')
        ) IS NOT NULL
        THEN CAST(said ->> '$' AS JSON)
    ELSE said
END;

-- What a tool answered; a list of one text is that text.
CREATE MACRO answer_of(said) AS CASE
    WHEN said ->> '$.type' IN ('text', 'json', 'error-text', 'error-json') AND json_exists(said, '$.value')
        THEN unpacked(json_extract(said, '$.value'))
    WHEN json_type(said) = 'ARRAY' AND json_array_length(said) = 1 AND json_type(said, '$[0].text') = 'VARCHAR'
        THEN json_or_text(said ->> '$[0].text')
    WHEN json_type(said) = 'ARRAY' AND json_array_length(said) = 1 AND json_type(said, '$[0].json') IS NOT NULL
        THEN json_extract(said, '$[0].json')
    ELSE unpacked(said)
END;

CREATE MACRO call_part(id, name, arguments) AS
    json_object('type', 'tool_call', 'id', id, 'name', name, 'arguments', arguments);

CREATE MACRO answer_part(id, response) AS
    json_object('type', 'tool_call_response', 'id', id, 'response', response);

CREATE MACRO first_string(found) AS list_filter(found, lambda said: json_type(said) = 'VARCHAR')[1] ->> '$';

CREATE MACRO first_address(found) AS
    list_filter(found, lambda said: regexp_matches(said ->> '$', '^(https?|data|gs|s3):'))[1] ->> '$';

CREATE MACRO first_real(found) AS list_filter(found, lambda said: said <> 'null')[1];

CREATE MACRO said_in(said) AS nullif(said, 'null') ->> '$';

CREATE MACRO thought_part(f) AS json_object('type', 'reasoning', 'content', coalesce(f[9] ->> '$[0].text', f[19] ->> '$', first_string(f[3:9])));

CREATE MACRO text_part(said) AS json_object('type', 'text', 'content', said);

