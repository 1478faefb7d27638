-- USD per answering model, the dearest first.
CREATE OR REPLACE VIEW costs_by_model AS
SELECT *
FROM (
    SELECT
        provider_name,
        coalesce(response_model, request_model) AS model,
        max(price_source) AS price_source,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY provider_name, coalesce(response_model, request_model)
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, model;
