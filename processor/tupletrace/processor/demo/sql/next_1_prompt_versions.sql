-- What does an answer cost with each version of each prompt?
SELECT prompt_name, prompt_version, response_model, count(*) AS calls, avg(output_tokens) AS output_tokens,
    avg(cost_usd) AS usd_per_call
FROM llm_calls WHERE prompt_name IS NOT NULL GROUP BY ALL ORDER BY prompt_name, usd_per_call
