-- Tuple coverage: the share of traces in which every layer that took part is identified
SELECT
    route,
    CAST(sum(traces) AS BIGINT) AS traces,
    round(sum(covered) / sum(traces), 3) AS coverage,
    round(avg(model), 3) AS model,
    round(avg(prompt), 3) AS prompt,
    round(avg(retriever), 3) AS retriever,
    round(avg(tools), 3) AS tools
FROM tuple_coverage
GROUP BY route
ORDER BY coverage, traces DESC, route
