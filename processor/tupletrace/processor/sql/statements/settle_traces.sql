-- Write the rollups of quiet traces, each step once, on what the step before has written: the views over one
-- another would plan it again and again.
CREATE OR REPLACE TEMPORARY VIEW settling_spans AS
FROM spans_of('quiet');

DELETE FROM settling_lost_parents WHERE trace_id NOT IN (SELECT trace_id FROM quiet);

CREATE OR REPLACE TEMPORARY TABLE settling_tangled AS
FROM tangled_of('settling_spans', 'settling_lost_parents');

INSERT INTO settled_usage_roles BY NAME
SELECT *, indexed_seq() AS settled_seq
FROM usage_roles_of('settling_spans', 'settling_tangled', 'settling_lost_parents');

CREATE OR REPLACE TEMPORARY VIEW settling_roles AS
FROM settled_usage_roles
WHERE settled_seq = indexed_seq()
  AND trace_id IN (SELECT trace_id FROM quiet);

INSERT INTO settled_llm_calls BY NAME
SELECT *, indexed_seq() AS settled_seq FROM calls_by('settling_spans', 'settling_roles');

CREATE OR REPLACE TEMPORARY VIEW settling_calls AS
FROM settled_llm_calls
WHERE settled_seq = indexed_seq()
  AND trace_id IN (SELECT trace_id FROM quiet);

INSERT INTO settled_layers BY NAME
SELECT *, indexed_seq() AS settled_seq FROM layers_of('settling_spans', 'settling_calls');

CREATE OR REPLACE TEMPORARY VIEW settling_layers AS
FROM settled_layers
WHERE settled_seq = indexed_seq()
  AND trace_id IN (SELECT trace_id FROM quiet);

INSERT INTO settled_traces BY NAME
SELECT *, indexed_seq() AS settled_seq FROM traces_with('settling_spans', 'settling_layers');

DELETE FROM open_traces WHERE trace_id IN (SELECT trace_id FROM quiet);
