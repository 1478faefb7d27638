-- What is sent as text of messages in the conventions' JSON; NULL where a part is none, a picture for instance.
CREATE OR REPLACE MACRO message_texts(messages) AS
    CASE
        WHEN json_array_length(messages) > 0
            AND list_has_all(
                ['text', 'reasoning', 'tool_call', 'tool_call_response'],
                json_extract_string(messages, '$[*].parts[*].type')
            )
            THEN json_extract_string(messages, '$[*].parts[*].content')
                || json_extract_string(messages, '$[*].parts[*].name')
                || json_extract_string(messages, '$[*].parts[*].arguments')
                || json_extract_string(messages, '$[*].parts[*].response')
    END;
