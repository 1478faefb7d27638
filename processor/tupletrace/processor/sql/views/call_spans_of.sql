-- The spans among `members` (a relation like spans_of) that describe an LLM call; several may describe the same one.
-- A fetch is one where it brings the tokens that the call itself could not know; an agent's run (an assistant's, a remote
-- one's) where it tells of tokens, and counts if no call is below it. None in and none out are not `used`: an instrumentor
-- that cannot read the answer says so, beside one that can.
CREATE OR REPLACE MACRO call_spans_of(members) AS TABLE
SELECT
    * REPLACE (CASE WHEN operation_name = 'fetch_response' THEN 'chat' ELSE operation_name END AS operation_name),
    operation_name = 'fetch_response' AS fetches,
    operation_name = 'invoke_agent' AS runs,
    operation_name = 'embeddings' AS embeds,
    input_tokens IS NOT NULL OR output_tokens IS NOT NULL AS has_usage,
    coalesce(input_tokens, 0) + coalesce(output_tokens, 0) > 0 AS used,
    start_unix_nano + duration_ns AS end_unix_nano,
    replace(replace(finish_reasons, 'tool_calls', 'tool_call'), 'tool-calls', 'tool_call') AS finish
FROM query_table(members)
WHERE describes_call(operation_name, input_tokens, output_tokens);
