-- How much of a group of traces is covered, a struct to be unnested; ratios 0..1. `declared_coverage` is without layers that
-- were only fingerprinted; a layer's ratio is over the traces in which it took part, NULL where it never did.
CREATE OR REPLACE MACRO covering(traces) AS {
    'traces': count(*),
    'covered': CAST(sum(CASE WHEN traces.covered THEN 1 ELSE 0 END) AS BIGINT),
    'coverage': avg(CASE WHEN traces.covered THEN 1.0 ELSE 0.0 END),
    'declared_coverage': avg(CASE WHEN traces.covered AND 'derived' NOT IN (
        traces.model_state, traces.prompt_state, traces.retriever_state, traces.tools_state, traces.evaluator_state
    ) THEN 1.0 ELSE 0.0 END),
    'model': avg(CASE traces.model_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END),
    'prompt': avg(CASE traces.prompt_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END),
    'retriever': avg(CASE traces.retriever_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END),
    'tools': avg(CASE traces.tools_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END),
    'evaluator': avg(CASE traces.evaluator_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END)
};
