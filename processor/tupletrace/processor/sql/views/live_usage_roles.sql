-- What each span of open traces that tells of tokens is: `leaf` (a call that counts), `duplicate` (the call is
-- counted by the span `duplicate_of`, perhaps of another trace), `rollup` (a sum over several calls, or an agent's).
CREATE OR REPLACE VIEW live_usage_roles AS
WITH calls AS MATERIALIZED (
    SELECT
        trace_id, span_id, parent_span_id, name, scope_name, start_unix_nano, end_unix_nano, embeds, has_usage,
        request_model, response_model, input_tokens, output_tokens, response_id, status_code, finish,
        CASE WHEN response_id IS NOT NULL THEN md5(input_messages) END AS asked
    FROM live_call_spans
),
pairs AS MATERIALIZED (SELECT * FROM live_call_pairs),
spans_of_open_traces AS (
    SELECT trace_id, count(*) AS spans
    FROM spans
    WHERE trace_id IN (SELECT trace_id FROM open_traces)
      AND day >= (SELECT min(first_day) FROM open_traces)
    GROUP BY trace_id
),
wrappers AS (
    SELECT trace_id, outer_id AS span_id
    FROM pairs
    GROUP BY trace_id, outer_id
    HAVING bool_or(inner_has_usage) OR NOT bool_or(outer_has_usage)
),
dropped AS MATERIALIZED (
    SELECT trace_id, span_id FROM wrappers
    UNION
    SELECT trace_id, inner_id
    FROM pairs
    WHERE outer_has_usage
      AND NOT inner_has_usage
      AND NOT EXISTS (
          SELECT 1 FROM wrappers WHERE wrappers.trace_id = pairs.trace_id AND wrappers.span_id = pairs.outer_id
      )
),
-- One response may be told of twice in a row (fetched again); what ended in another way is another response.
responses AS (
    SELECT
        calls.trace_id,
        calls.span_id,
        calls.start_unix_nano,
        calls.response_id,
        concat_ws(
            ' ',
            coalesce(finish, max(finish) OVER same_id),
            CASE
                WHEN min(scope_name) OVER same_id = max(scope_name) OVER same_id
                    THEN coalesce(asked, max(asked) OVER same_id)
            END
        ) AS answer,
        has_usage
    FROM calls
    WHERE response_id IS NOT NULL
      AND NOT EXISTS (
          SELECT 1 FROM dropped WHERE dropped.trace_id = calls.trace_id AND dropped.span_id = calls.span_id
      )
    WINDOW same_id AS (PARTITION BY trace_id, response_id)
),
ranked AS (
    SELECT
        *,
        first_value(span_id) OVER told AS counted_id,
        row_number() OVER told AS position
    FROM responses
    WINDOW told AS (
        PARTITION BY trace_id, response_id, answer
        ORDER BY CASE WHEN has_usage THEN 0 ELSE 1 END, start_unix_nano DESC, span_id
    )
),
fetched AS MATERIALIZED (
    SELECT trace_id, span_id, counted_id FROM ranked WHERE position > 1
),
single AS MATERIALIZED (
    SELECT calls.*
    FROM calls
    WHERE NOT EXISTS (
        SELECT 1 FROM dropped WHERE dropped.trace_id = calls.trace_id AND dropped.span_id = calls.span_id
    )
      AND NOT EXISTS (
          SELECT 1 FROM fetched WHERE fetched.trace_id = calls.trace_id AND fetched.span_id = calls.span_id
      )
),
-- A client's span that lost its parent is alone in a trace; the framework's, in another, lasted longer.
orphans AS MATERIALIZED (
    SELECT
        client.trace_id,
        client.span_id,
        client.start_unix_nano,
        arg_max(framework.trace_id, (framework.start_unix_nano, framework.span_id)) AS counted_trace_id,
        arg_max(framework.span_id, (framework.start_unix_nano, framework.span_id)) AS counted_id
    FROM single AS client
    JOIN single AS framework
        ON framework.input_tokens = client.input_tokens
        AND framework.output_tokens = client.output_tokens
        AND framework.trace_id <> client.trace_id
        AND framework.name <> client.name
        AND framework.start_unix_nano < client.start_unix_nano
        AND framework.end_unix_nano >= client.end_unix_nano
        AND same_call(framework, client)
    WHERE client.parent_span_id IS NULL
      AND framework.parent_span_id IS NOT NULL
      AND client.trace_id IN (SELECT trace_id FROM spans_of_open_traces WHERE spans = 1)
    GROUP BY client.trace_id, client.span_id, client.start_unix_nano
),
counted AS MATERIALIZED (
    SELECT trace_id, span_id, start_unix_nano, response_id
    FROM single
    WHERE trace_id NOT IN (SELECT trace_id FROM orphans)
),
near AS MATERIALIZED (
    SELECT trace_id, outer_id AS span_id, inner_id AS other_id, distance FROM pairs
    UNION ALL
    SELECT trace_id, inner_id, outer_id, distance FROM pairs
    UNION ALL
    SELECT trace_id, span_id, counted_id, 0 FROM fetched
),
-- Through a span that itself is not counted, too.
reached AS (
    SELECT trace_id, span_id, other_id, distance FROM near
    UNION ALL
    SELECT first.trace_id, first.span_id, second.other_id, first.distance + second.distance + 1000
    FROM near AS first
    JOIN near AS second ON second.trace_id = first.trace_id AND second.span_id = first.other_id
    WHERE second.other_id <> first.span_id
),
links AS (
    SELECT
        reached.trace_id,
        reached.span_id,
        arg_min(counted.span_id, reached.distance) AS nearest_id,
        count(DISTINCT CASE WHEN reached.distance < 1000 THEN counted.span_id END) AS calls
    FROM reached
    JOIN counted ON counted.trace_id = reached.trace_id AND counted.span_id = reached.other_id
    GROUP BY reached.trace_id, reached.span_id
)
SELECT
    trace_id,
    span_id,
    start_unix_nano,
    'leaf' AS usage_role,
    CAST(NULL AS VARCHAR) AS duplicate_of,
    CAST(NULL AS VARCHAR) AS duplicate_of_trace_id
FROM counted
UNION ALL
SELECT trace_id, span_id, start_unix_nano, 'duplicate', counted_id, counted_trace_id
FROM orphans
UNION ALL
SELECT
    calls.trace_id,
    calls.span_id,
    calls.start_unix_nano,
    CASE WHEN links.calls > 1 THEN 'rollup' ELSE 'duplicate' END,
    CASE WHEN links.calls > 1 THEN NULL ELSE links.nearest_id END,
    NULL
FROM calls
LEFT JOIN links ON links.trace_id = calls.trace_id AND links.span_id = calls.span_id
WHERE NOT EXISTS (
    SELECT 1
    FROM single
    WHERE single.trace_id = calls.trace_id
      AND single.span_id = calls.span_id
      AND single.start_unix_nano = calls.start_unix_nano
)
UNION ALL
SELECT
    others.trace_id,
    others.span_id,
    others.start_unix_nano,
    CASE WHEN others.operation_name = 'fetch_response' THEN 'duplicate' ELSE 'rollup' END,
    max(counted.span_id),
    NULL
FROM spans AS others
LEFT JOIN counted
    ON counted.trace_id = others.trace_id
    AND counted.response_id = others.response_id
    AND others.operation_name = 'fetch_response'
WHERE others.trace_id IN (SELECT trace_id FROM open_traces)
  AND others.day >= (SELECT min(first_day) FROM open_traces)
  AND coalesce(others.operation_name, '') NOT IN ('chat', 'text_completion', 'generate_content', 'embeddings')
  AND (others.input_tokens IS NOT NULL OR others.output_tokens IS NOT NULL)
GROUP BY others.trace_id, others.span_id, others.start_unix_nano, others.operation_name;
