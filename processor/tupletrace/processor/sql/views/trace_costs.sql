-- USD per trace that made LLM calls; NULL where no call could be priced by tokens that were reported.
CREATE OR REPLACE VIEW trace_costs AS
SELECT trace_id, route, start_time, llm_calls, cost_usd, cost_status, unpriced_calls, estimated_cost_usd
FROM traces
WHERE llm_calls > 0;
