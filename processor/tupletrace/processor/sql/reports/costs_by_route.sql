-- `tupletrace costs --by route`: USD per route and per trace of it, the dearest first.
SELECT route, traces, cost_usd, cost_per_trace_usd, p50, p95, unpriced_calls
FROM route_costs
ORDER BY cost_usd DESC NULLS LAST, route;
