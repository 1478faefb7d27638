-- Which model, prompt, retriever, tools and evaluator took part in each trace of `members`, and how we know.
CREATE OR REPLACE MACRO layers_of(members, llm_calls_of_traces) AS TABLE
WITH calls AS (
    SELECT
        trace_id, operation_name, request_model, response_model, model_revision, prompt_name, prompt_version,
        prompt_provenance, prompt_reason, tools_names, tools_version
    FROM query_table(llm_calls_of_traces)
),
retrievals AS (
    SELECT trace_id, operation_name, name, retriever_name, data_source_id, retriever_version
    FROM query_table(members)
    WHERE operation_name IN ('retrieval', 'execute_tool')
)
SELECT DISTINCT
    trace_id,
    'model' AS layer,
    coalesce(request_model, response_model) AS name,
    coalesce(model_revision, request_model) AS version,
    CASE WHEN coalesce(request_model, response_model) IS NULL THEN 'missing' ELSE 'declared' END AS provenance,
    CASE WHEN coalesce(request_model, response_model) IS NULL THEN 'no model on the call' END AS reason
FROM calls
UNION ALL
SELECT DISTINCT
    trace_id,
    'prompt',
    prompt_name,
    prompt_version,
    CASE WHEN prompt_version IS NULL THEN 'missing' ELSE prompt_provenance END,
    CASE
        WHEN prompt_version IS NOT NULL THEN NULL
        WHEN operation_name = 'invoke_agent' THEN 'an agent''s run: nothing tells the calls in it, and their prompts'
        ELSE coalesce(prompt_reason, 'no prompt id, template or system text on the call')
    END
FROM calls
WHERE operation_name <> 'embeddings'
UNION ALL
SELECT DISTINCT
    trace_id,
    'tools',
    tools_names,
    tools_version,
    CASE WHEN tools_version IS NULL THEN 'missing' ELSE 'derived' END,
    CASE WHEN tools_version IS NULL THEN 'only the names of the tools were told, not their definitions' END
FROM calls
WHERE coalesce(tools_version, tools_names) IS NOT NULL
UNION ALL
SELECT DISTINCT
    retrievals.trace_id,
    'tools',
    CAST(NULL AS VARCHAR),
    CAST(NULL AS VARCHAR),
    'missing',
    CASE
        WHEN asked.without_content THEN 'content capture off, it seems: a tool ran, but no call has definitions of tools'
        ELSE 'a tool ran, but no call says which tools the model was offered'
    END
FROM retrievals
LEFT JOIN (
    SELECT trace_id, bool_and(coalesce(prompt_reason, '') LIKE 'content %') AS without_content
    FROM calls
    GROUP BY trace_id
) AS asked ON asked.trace_id = retrievals.trace_id
WHERE retrievals.operation_name = 'execute_tool'
  AND retrievals.trace_id NOT IN (SELECT trace_id FROM calls WHERE coalesce(tools_version, tools_names) IS NOT NULL)
UNION ALL
SELECT DISTINCT
    trace_id,
    'retriever',
    coalesce(retriever_name, data_source_id, name),
    retriever_version,
    CASE WHEN retriever_version IS NULL THEN 'missing' ELSE 'derived' END,
    CASE
        WHEN retriever_version IS NOT NULL THEN NULL
        WHEN data_source_id IS NOT NULL THEN 'only what was searched is on the retrieval span, not how'
        ELSE 'no retriever configuration on the retrieval span'
    END
FROM retrievals
WHERE operation_name = 'retrieval'
UNION ALL
SELECT DISTINCT
    trace_id,
    'evaluator',
    coalesce(evaluator_name, name),
    evaluator_version,
    CASE WHEN evaluator_version IS NULL THEN 'missing' ELSE 'declared' END,
    CASE WHEN evaluator_version IS NULL THEN 'the evaluation does not say its evaluator''s version' END
FROM evaluation_results
WHERE trace_id IN (SELECT trace_id FROM query_table(members))
  -- Who gives feedback is no part of the program.
  AND source IS DISTINCT FROM 'human';
