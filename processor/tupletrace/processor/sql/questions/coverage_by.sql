-- Tuple coverage by `part`: `route`, `day`, `service`; every trace weighs the same, the worst first. A layer's ratio is
-- over the traces in which it took part; `declared_coverage` is without layers that were only fingerprinted.
CREATE OR REPLACE MACRO coverage_by(part, since := NULL, until := NULL, of_route := NULL) AS TABLE
SELECT
    CASE part
        WHEN 'route' THEN route
        WHEN 'day' THEN CAST(day AS VARCHAR)
        WHEN 'service' THEN service_name
        ELSE error('coverage_by: no coverage by ' || part || ', but by route, day, service')
    END AS value,
    count(*) AS traces,
    CAST(sum(CASE WHEN covered THEN 1 ELSE 0 END) AS BIGINT) AS covered,
    avg(CASE WHEN covered THEN 1.0 ELSE 0.0 END) AS coverage,
    avg(CASE WHEN covered AND 'derived' NOT IN (
        model_state, prompt_state, retriever_state, tools_state, evaluator_state
    ) THEN 1.0 ELSE 0.0 END) AS declared_coverage,
    avg(CASE model_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END) AS model,
    avg(CASE prompt_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END) AS prompt,
    avg(CASE retriever_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END) AS retriever,
    avg(CASE tools_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END) AS tools,
    avg(CASE evaluator_state WHEN 'not_applicable' THEN NULL WHEN 'missing' THEN 0.0 ELSE 1.0 END) AS evaluator
FROM traces
WHERE covered IS NOT NULL
  AND within(start_time, since, until)
  AND (of_route IS NULL OR route = of_route)
GROUP BY value
ORDER BY coverage, traces DESC, value;
