-- What each span among `members` that tells of tokens is: `leaf` (a call that counts), `duplicate` (the call is
-- counted by the span `duplicate_of`, perhaps of another trace), `rollup` (a sum over several calls, or an agent's above some).
-- Only in `tangled` traces can a call span be anything but a leaf.
CREATE OR REPLACE MACRO usage_roles_of(members, tangled, lost_parents, ancestors) AS TABLE
WITH calls AS MATERIALIZED (
    SELECT
        trace_id, span_id, parent_span_id, scope_name, start_unix_nano, fetches, runs, has_usage, response_id, finish,
        journal_seq
    FROM call_spans_of(members)
    WHERE trace_id IN (SELECT trace_id FROM query_table(tangled))
),
pairs AS MATERIALIZED (SELECT * FROM call_pairs_of(members, tangled, ancestors)),
wrappers AS (
    SELECT trace_id, outer_id AS span_id
    FROM pairs
    GROUP BY trace_id, outer_id
    HAVING bool_or(inner_has_usage) OR NOT bool_or(outer_has_usage) OR bool_or(outer_runs)
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
told AS MATERIALIZED (
    SELECT *, count(*) OVER (PARTITION BY trace_id, response_id) AS times
    FROM calls
    WHERE response_id IS NOT NULL
      AND NOT EXISTS (
          SELECT 1 FROM dropped WHERE dropped.trace_id = calls.trace_id AND dropped.span_id = calls.span_id
      )
),
questions AS (
    SELECT trace_id, span_id, start_unix_nano, coalesce(input_hash, left(md5(input_messages), 8)) AS asked
    FROM spans
    WHERE journal_seq >= (SELECT min(journal_seq) FROM told WHERE times > 1)
      AND trace_id IN (SELECT trace_id FROM told WHERE times > 1)
      AND response_id IS NOT NULL
),
-- One response may be told of twice in a row (fetched again); what ended in another way is another response.
responses AS (
    SELECT
        told.trace_id,
        told.span_id,
        told.start_unix_nano,
        told.response_id,
        concat_ws(
            ' ',
            coalesce(finish, max(finish) OVER same_id),
            CASE
                WHEN min(scope_name) OVER same_id = max(scope_name) OVER same_id
                    THEN coalesce(asked, max(asked) OVER same_id)
            END
        ) AS answer,
        has_usage,
        fetches
    FROM told
    LEFT JOIN questions
        ON questions.trace_id = told.trace_id
        AND questions.span_id = told.span_id
        AND questions.start_unix_nano = told.start_unix_nano
    WHERE times > 1
    WINDOW same_id AS (PARTITION BY told.trace_id, told.response_id)
),
ranked AS (
    SELECT
        *,
        first_value(span_id) OVER same_answer AS counted_id,
        row_number() OVER same_answer AS position
    FROM responses
    WINDOW same_answer AS (
        PARTITION BY trace_id, response_id, answer
        ORDER BY CASE WHEN has_usage THEN 0 ELSE 1 END, fetches, start_unix_nano DESC, span_id
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
near AS MATERIALIZED (
    SELECT trace_id, outer_id AS span_id, inner_id AS other_id, distance FROM pairs
    UNION ALL
    SELECT trace_id, inner_id, outer_id, distance FROM pairs
    UNION ALL
    SELECT trace_id, span_id, counted_id, 0 FROM fetched
),
met AS MATERIALIZED (
    SELECT near.trace_id, near.span_id, single.span_id AS other_id, single.start_unix_nano, near.distance
    FROM near
    JOIN single ON single.trace_id = near.trace_id AND single.span_id = near.other_id
),
-- What is not counted and has none beside it that is: those beside one beside it.
strayed AS MATERIALIZED (
    SELECT near.*
    FROM near
    WHERE NOT EXISTS (FROM met WHERE met.trace_id = near.trace_id AND met.span_id = near.span_id)
      AND NOT EXISTS (FROM single WHERE single.trace_id = near.trace_id AND single.span_id = near.span_id)
),
links AS MATERIALIZED (
    SELECT
        trace_id,
        span_id,
        arg_min(
            {'span_id': other_id, 'start_unix_nano': start_unix_nano}, (distance, other_id, start_unix_nano)
        ) AS nearest,
        count(DISTINCT CASE WHEN distance < 1000 THEN other_id END) AS calls
    FROM (
        FROM met
        UNION ALL
        SELECT
            strayed.trace_id, strayed.span_id, met.other_id, met.start_unix_nano, strayed.distance + met.distance + 1000
        FROM strayed
        JOIN met ON met.trace_id = strayed.trace_id AND met.span_id = strayed.other_id
    )
    GROUP BY trace_id, span_id
),
others AS MATERIALIZED (
    SELECT
        calls.trace_id,
        calls.span_id,
        calls.start_unix_nano,
        links.nearest,
        coalesce(links.calls > 1, FALSE) OR calls.runs AS sums
    FROM calls
    LEFT JOIN links ON links.trace_id = calls.trace_id AND links.span_id = calls.span_id
    WHERE NOT EXISTS (
        SELECT 1
        FROM single
        WHERE single.trace_id = calls.trace_id
          AND single.span_id = calls.span_id
          AND single.start_unix_nano = calls.start_unix_nano
    )
),
-- Which span counts in its trace for each that tells of a call; `since`: when the first of these began.
told_by AS MATERIALIZED (
    SELECT *, min(start_unix_nano) OVER (PARTITION BY trace_id, counts) AS since
    FROM (
        SELECT
            trace_id, span_id, start_unix_nano, {'span_id': span_id, 'start_unix_nano': start_unix_nano} AS counts,
            TRUE AS itself
        FROM single
        UNION ALL
        SELECT trace_id, span_id, start_unix_nano, nearest, FALSE
        FROM others
        WHERE NOT sums AND nearest IS NOT NULL
    )
),
lonely AS (
    SELECT trace_id, count(*) = 1 AS alone, bool_or(parent_span_id IS NULL) AS has_root
    FROM query_table(members)
    WHERE trace_id IN (SELECT unnest([trace_id, framework_trace_id]) FROM query_table(lost_parents))
    GROUP BY trace_id
),
halves AS MATERIALIZED (
    SELECT
        pairs.trace_id,
        client.counts,
        -- The nearest around it; of those with its response the outermost, which counts for all of them.
        max_by(
            {'trace_id': framework.trace_id, 'counts': framework.counts},
            CASE
                WHEN same_response THEN (1, -framework_start_unix_nano, framework_trace_id, framework_span_id)
                ELSE (0, framework_start_unix_nano, framework_trace_id, framework_span_id)
            END
        ) AS other
    FROM query_table(lost_parents) AS pairs
    JOIN told_by AS client
        ON client.trace_id = pairs.trace_id
        AND client.span_id = pairs.span_id
        AND client.start_unix_nano = pairs.start_unix_nano
    JOIN told_by AS framework
        ON framework.trace_id = framework_trace_id
        AND framework.span_id = framework_span_id
        AND framework.start_unix_nano = framework_start_unix_nano
    JOIN lonely AS client_trace ON client_trace.trace_id = pairs.trace_id
    JOIN lonely AS framework_trace ON framework_trace.trace_id = framework_trace_id
    -- A root that has yet to come may show that they are two. Of two traces the first counts, never each for the other.
    WHERE CASE
        WHEN same_response
            THEN client_trace.has_root AND framework_trace.has_root
                AND (framework.since, framework.trace_id) < (client.since, client.trace_id)
        ELSE client_trace.alone AND client.itself AND framework.itself
    END
    GROUP BY pairs.trace_id, client.counts
),
orphans AS MATERIALIZED (
    SELECT halves.trace_id, halves.counts, coalesce(further.other, halves.other) AS other
    FROM halves
    LEFT JOIN halves AS further ON further.trace_id = halves.other.trace_id AND further.counts = halves.other.counts
)
SELECT
    trace_id,
    span_id,
    start_unix_nano,
    'leaf' AS usage_role,
    CAST(NULL AS VARCHAR) AS duplicate_of,
    CAST(NULL AS VARCHAR) AS duplicate_of_trace_id
FROM call_spans_of(members)
WHERE trace_id NOT IN (SELECT trace_id FROM query_table(tangled))
UNION ALL
SELECT
    told_by.trace_id,
    told_by.span_id,
    told_by.start_unix_nano,
    CASE WHEN orphans.other IS NULL AND told_by.itself THEN 'leaf' ELSE 'duplicate' END,
    CASE
        WHEN orphans.other IS NOT NULL THEN orphans.other.counts.span_id
        WHEN NOT told_by.itself THEN told_by.counts.span_id
    END,
    orphans.other.trace_id
FROM told_by
LEFT JOIN orphans ON orphans.trace_id = told_by.trace_id AND orphans.counts = told_by.counts
UNION ALL
SELECT trace_id, span_id, start_unix_nano, CASE WHEN sums THEN 'rollup' ELSE 'duplicate' END, NULL, NULL
FROM others
WHERE sums OR nearest IS NULL
UNION ALL
SELECT trace_id, span_id, start_unix_nano, 'rollup', NULL, NULL
FROM query_table(members)
WHERE coalesce(operation_name, '')
    NOT IN ('chat', 'text_completion', 'generate_content', 'embeddings', 'fetch_response', 'invoke_agent')
  AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL);
