-- `tupletrace coverage`: tuple coverage of every route over all days, the worst first; every trace weighs the same.
SELECT
    route,
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
GROUP BY route
ORDER BY coverage, traces DESC, route;
