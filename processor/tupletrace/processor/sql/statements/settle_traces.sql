-- Write the rollups of traces that received no span for $quiet_ms milliseconds.
CREATE OR REPLACE TEMPORARY TABLE quiet AS
SELECT trace_id
FROM open_traces
GROUP BY trace_id
HAVING max(last_indexed) <= now() - to_milliseconds($quiet_ms);

-- Each step once, on the step before: the views over one another would plan it again and again.
CREATE OR REPLACE TEMPORARY TABLE settling_roles AS FROM live_usage_roles;
CREATE OR REPLACE TEMPORARY TABLE settling_calls AS FROM calls_by('settling_roles');
CREATE OR REPLACE TEMPORARY TABLE settling_layers AS FROM layers_of('settling_calls');

-- A trace waits for another that describes one of its calls.
DELETE FROM quiet
WHERE trace_id IN (
    SELECT unnest([trace_id, duplicate_of_trace_id])
    FROM settling_roles
    WHERE duplicate_of_trace_id IS NOT NULL
      AND NOT (trace_id IN (SELECT trace_id FROM quiet) AND duplicate_of_trace_id IN (SELECT trace_id FROM quiet))
);

INSERT INTO settled_usage_roles SELECT * FROM settling_roles WHERE trace_id IN (SELECT trace_id FROM quiet);
INSERT INTO settled_llm_calls BY NAME SELECT * FROM settling_calls WHERE trace_id IN (SELECT trace_id FROM quiet);
INSERT INTO settled_layers SELECT * FROM settling_layers WHERE trace_id IN (SELECT trace_id FROM quiet);
INSERT INTO settled_traces SELECT * FROM traces_with('settling_layers') WHERE trace_id IN (SELECT trace_id FROM quiet);
DELETE FROM open_traces WHERE trace_id IN (SELECT trace_id FROM quiet);
