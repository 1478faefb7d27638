-- What the calls and tools of `members` are within: each such span itself (distance 0) and the spans above it, with what
-- these say, in the `tangled` traces and in those where a call does not say itself what another span does.
-- Below a parent that is not there is whatever is below the trace's only root.
CREATE OR REPLACE MACRO ancestors_of(members, tangled) AS TABLE
WITH RECURSIVE walked AS MATERIALIZED (
    SELECT
        trace_id,
        bool_or(operation_name = 'invoke_agent' AND tools_names IS NOT NULL)
            AND NOT coalesce(bool_or(calls AND operation_name <> 'invoke_agent' AND tools_names IS NOT NULL), FALSE)
            AS agents_tools
    FROM (
        SELECT *, describes_call(operation_name, input_tokens, output_tokens) AS calls
        FROM query_table(members)
    )
    GROUP BY trace_id
    HAVING trace_id IN (SELECT trace_id FROM query_table(tangled))
        OR (bool_or(calls) AND agents_tools)
        OR (bool_or(calls AND agent_name IS NULL) AND count(agent_name) > 0)
        OR (bool_or(calls AND conversation_id IS NULL) AND count(conversation_id) > 0)
        OR (bool_or(calls AND user_id IS NULL) AND count(user_id) > 0)
        OR (bool_or(calls AND tags IS NULL) AND count(tags) > 0)
        OR (
            bool_or(calls AND agent_step IS NULL AND operation_name <> 'embeddings')
            AND (bool_or(operation_name = 'invoke_agent') OR count(agent_name) + count(graph_node) > 0)
        )
),
around AS MATERIALIZED (
    SELECT
        spans.trace_id,
        spans.span_id,
        spans.parent_span_id,
        spans.start_unix_nano,
        spans.start_unix_nano + spans.duration_ns AS end_unix_nano,
        spans.operation_name,
        spans.input_tokens,
        spans.output_tokens,
        spans.agent_name,
        spans.graph_node,
        spans.conversation_id,
        spans.user_id,
        spans.tags,
        CASE WHEN walked.agents_tools AND spans.operation_name = 'invoke_agent'
            THEN {'names': spans.tools_names, 'version': spans.tools_version}
        END AS tools
    FROM query_table(members) AS spans
    JOIN walked ON walked.trace_id = spans.trace_id
),
parents AS MATERIALIZED (
    SELECT trace_id, span_id, parent_span_id
    FROM around
    WHERE parent_span_id IS NOT NULL
    UNION
    SELECT orphans.trace_id, orphans.parent_span_id, roots.span_id
    FROM around AS orphans
    JOIN (
        SELECT trace_id, min(span_id) AS span_id
        FROM around
        WHERE parent_span_id IS NULL
        GROUP BY trace_id
        HAVING count(*) = 1
    ) AS roots ON roots.trace_id = orphans.trace_id
    WHERE orphans.parent_span_id IS NOT NULL
      AND NOT EXISTS (
          SELECT 1
          FROM around
          WHERE around.trace_id = orphans.trace_id AND around.span_id = orphans.parent_span_id
      )
),
ancestors AS (
    SELECT trace_id, span_id, span_id AS ancestor_id, 0 AS distance
    FROM around
    WHERE describes_call(operation_name, input_tokens, output_tokens) OR operation_name = 'execute_tool'
    UNION
    SELECT below.trace_id, below.span_id, parents.parent_span_id, below.distance + 1
    FROM ancestors AS below
    JOIN parents ON parents.trace_id = below.trace_id AND parents.span_id = below.ancestor_id
    -- A framework's span is near its client's, an agent's not so near; and a circle of parents ends.
    WHERE below.distance < 64
)
SELECT
    ancestors.*,
    around.* EXCLUDE (trace_id, span_id, parent_span_id, input_tokens, output_tokens)
FROM ancestors
JOIN around ON around.trace_id = ancestors.trace_id AND around.span_id = ancestors.ancestor_id;
