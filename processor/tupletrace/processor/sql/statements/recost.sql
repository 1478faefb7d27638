-- What every call costs at the prices of now.
CREATE OR REPLACE TEMPORARY TABLE recosted AS
WITH calls AS (
    SELECT * EXCLUDE (price_source, price_valid_from, cost_usd, estimated_cost_usd, cost_status, cache_savings_usd)
    FROM settled_llm_calls
)
FROM costed('calls');

DELETE FROM settled_llm_calls;

INSERT INTO settled_llm_calls BY NAME FROM recosted;

DROP TABLE recosted;

UPDATE settled_traces SET
    cost_usd = spend.cost_usd,
    cost_status = spend.cost_status,
    unpriced_calls = spend.unpriced_calls,
    estimated_cost_usd = spend.estimated_cost_usd
FROM spend_of('settled_llm_calls') AS spend
WHERE spend.trace_id = settled_traces.trace_id;
