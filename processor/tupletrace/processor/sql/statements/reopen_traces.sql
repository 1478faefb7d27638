-- A span that arrives makes its trace's rollups stale: they are computed live until the trace is quiet again.
CREATE OR REPLACE TEMPORARY TABLE arrived AS
SELECT trace_id, min(CAST(make_timestamp(start_unix_nano // 1000) AS DATE)) AS first_day
FROM batch
GROUP BY trace_id;

DELETE FROM settled_llm_calls WHERE trace_id IN (SELECT trace_id FROM arrived);
DELETE FROM settled_layers WHERE trace_id IN (SELECT trace_id FROM arrived);

INSERT INTO open_traces
SELECT
    arrived.trace_id,
    least(arrived.first_day, coalesce(open.first_day, arrived.first_day), coalesce(settled.day, arrived.first_day)),
    now()
FROM arrived
LEFT JOIN (SELECT trace_id, min(first_day) AS first_day FROM open_traces GROUP BY trace_id) AS open
    ON open.trace_id = arrived.trace_id
LEFT JOIN settled_traces AS settled ON settled.trace_id = arrived.trace_id;

DELETE FROM settled_traces WHERE trace_id IN (SELECT trace_id FROM arrived);
