-- `tupletrace coverage`: tuple coverage of every route over all days, the worst first.
SELECT
    route,
    CAST(sum(traces) AS BIGINT) AS traces,
    CAST(sum(covered) AS BIGINT) AS covered,
    sum(covered) / sum(traces) AS coverage,
    sum(declared_coverage * traces) / sum(traces) AS declared_coverage,
    avg(model) AS model,
    avg(prompt) AS prompt,
    avg(retriever) AS retriever,
    avg(tools) AS tools,
    avg(evaluator) AS evaluator
FROM tuple_coverage
GROUP BY route
ORDER BY coverage, traces DESC, route;
