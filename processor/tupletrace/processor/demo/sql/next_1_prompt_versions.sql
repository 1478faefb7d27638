-- What does a call cost with each version of each prompt?
SELECT prompt_name, prompt_version, response_model, count(*) AS calls,
    round(avg(output_tokens), 1) AS output_tokens, CAST(avg(cost_usd) AS DECIMAL(12, 8)) AS usd_per_call
FROM llm_calls WHERE prompt_name IS NOT NULL GROUP BY ALL ORDER BY prompt_name, usd_per_call
