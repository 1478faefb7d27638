-- USD per prompt version, the dearest first; NULL: calls whose prompt is not known.
CREATE OR REPLACE VIEW costs_by_prompt AS
SELECT *
FROM (
    SELECT
        prompt_name,
        prompt_version,
        prompt_provenance,
        unnest(spending(calls))
    FROM llm_calls AS calls
    WHERE operation_name <> 'embeddings'
    GROUP BY prompt_name, prompt_version, prompt_provenance
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, prompt_name, prompt_version;
