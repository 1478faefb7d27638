-- Write the rollups of the traces whose calls are known (see settle_calls) in place of those that they have.
CREATE OR REPLACE TEMPORARY TABLE settling_layers AS
FROM layers_of('settling_spans', 'settling_calls');

CREATE OR REPLACE TEMPORARY TABLE settling_sets AS
SELECT
    trace_id,
    bit_xor(hash(concat_ws(chr(9), layer, coalesce(name, ''), coalesce(version, '?'), provenance, reason))) AS layers_id
FROM settling_layers
GROUP BY trace_id;

INSERT INTO settled_layers BY NAME
SELECT layers.* EXCLUDE (trace_id), example.layers_id
FROM (SELECT layers_id, min(trace_id) AS trace_id FROM settling_sets GROUP BY layers_id) AS example
JOIN settling_layers AS layers ON layers.trace_id = example.trace_id
WHERE example.layers_id NOT IN (SELECT layers_id FROM settled_layers);

CREATE OR REPLACE TEMPORARY TABLE settling_tuples AS
WITH layers AS (FROM settled_layers WHERE layers_id IN (SELECT layers_id FROM settling_sets))
FROM tuples_of('layers');

DELETE FROM settled_usage_roles
WHERE settled_seq >= (SELECT min(settled_seq) FROM settling)
  AND trace_id IN (SELECT trace_id FROM settling WHERE settled_seq IS NOT NULL);

DELETE FROM settled_llm_calls
WHERE settled_seq >= (SELECT min(settled_seq) FROM settling)
  AND trace_id IN (SELECT trace_id FROM settling WHERE settled_seq IS NOT NULL);

DELETE FROM settled_traces
WHERE settled_seq >= (SELECT min(settled_seq) FROM settling)
  AND trace_id IN (SELECT trace_id FROM settling WHERE settled_seq IS NOT NULL);

INSERT INTO settled_usage_roles BY NAME
SELECT *, indexed_seq() AS settled_seq FROM settling_roles;

INSERT INTO settled_llm_calls BY NAME
SELECT *, indexed_seq() AS settled_seq FROM costed('settling_calls');

CREATE OR REPLACE TEMPORARY VIEW settling_costs AS
FROM settled_llm_calls
WHERE settled_seq = indexed_seq()
  AND trace_id IN (SELECT trace_id FROM settling);

INSERT INTO settled_traces BY NAME
SELECT *, trace_bits(trace_id) AS trace_bits, indexed_seq() AS settled_seq
FROM traces_with('settling_spans', 'settling_sets', 'settling_tuples', 'settling_costs');

DELETE FROM open_traces;
