-- Pairs of calls in two traces that may be one: a client's span that lost its parent begins a trace of its own;
-- the framework's, in another, ran around it and says the same (`may_hold`).
-- `same_response`: two libraries tell of one response, whatever else is in their traces; where no response is named,
-- the client's span has to be a root, and its tokens the framework's, or both failed.
CREATE OR REPLACE MACRO lost_parents_of(calls) AS TABLE
SELECT
    client.trace_id,
    client.span_id,
    client.start_unix_nano,
    framework.trace_id AS framework_trace_id,
    framework.span_id AS framework_span_id,
    framework.start_unix_nano AS framework_start_unix_nano,
    FALSE AS same_response
FROM query_table(calls) AS client
JOIN query_table(calls) AS framework
    ON framework.input_tokens = client.input_tokens
    AND framework.output_tokens = client.output_tokens
    AND framework.name <> client.name
    AND framework.end_unix_nano >= client.end_unix_nano
    AND may_hold(framework, client)
WHERE client.parent_span_id IS NULL
  AND framework.parent_span_id IS NOT NULL
UNION ALL
SELECT
    client.trace_id,
    client.span_id,
    client.start_unix_nano,
    framework.trace_id,
    framework.span_id,
    framework.start_unix_nano,
    FALSE
FROM query_table(calls) AS client
JOIN query_table(calls) AS framework
    ON framework.request_model = client.request_model
    AND framework.status_code = client.status_code
    AND framework.scope_name <> client.scope_name
    AND framework.end_unix_nano >= client.end_unix_nano
    AND may_hold(framework, client)
WHERE client.status_code = 'ERROR'
  AND client.parent_span_id IS NULL
  AND framework.parent_span_id IS NOT NULL
  AND NOT client.has_usage
  AND NOT framework.has_usage
UNION ALL
SELECT
    client.trace_id,
    client.span_id,
    client.start_unix_nano,
    framework.trace_id,
    framework.span_id,
    framework.start_unix_nano,
    TRUE
FROM query_table(calls) AS client
JOIN query_table(calls) AS framework
    ON framework.response_id = client.response_id
    AND framework.scope_name <> client.scope_name
    AND framework.end_unix_nano >= client.start_unix_nano
    AND may_hold(framework, client);
