-- Calls of open traces that may be described by another trace as well.
CREATE OR REPLACE TEMPORARY TABLE settling_lost_parents AS FROM live_lost_parents;

-- Traces that received no span for $quiet_ms milliseconds. One that may share a call with a trace which is not
-- quiet yet waits for it, and so does whoever may share a call with the one that waits.
CREATE OR REPLACE TEMPORARY TABLE quiet AS
WITH RECURSIVE silent AS MATERIALIZED (
    SELECT trace_id, min(first_seq) AS first_seq
    FROM open_traces
    GROUP BY trace_id
    HAVING max(last_indexed) <= now() - to_milliseconds($quiet_ms)
),
shared AS MATERIALIZED (
    SELECT trace_id, framework_trace_id AS other_id FROM settling_lost_parents
    UNION
    SELECT framework_trace_id, trace_id FROM settling_lost_parents
),
waiting AS (
    SELECT trace_id FROM shared WHERE trace_id NOT IN (SELECT trace_id FROM silent)
    UNION
    SELECT shared.other_id FROM waiting JOIN shared ON shared.trace_id = waiting.trace_id
)
SELECT trace_id, first_seq FROM silent WHERE trace_id NOT IN (SELECT trace_id FROM waiting);
