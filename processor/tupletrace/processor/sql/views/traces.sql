-- One row a trace. `complete`: its root came and it has been quiet; `covered` is NULL where no layer took part;
-- `layers_id`: which layers did, equal for equal ones.
CREATE OR REPLACE VIEW traces AS
SELECT
    * EXCLUDE (trace_bits, has_root, first_seq, settled_seq),
    has_root AND settled_seq <= coalesce((SELECT max(value) FROM meta WHERE key = 'quiet_seq'), -1) AS complete
FROM settled_traces;
