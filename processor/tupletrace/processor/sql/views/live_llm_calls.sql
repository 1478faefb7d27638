-- LLM calls of open traces.
CREATE OR REPLACE VIEW live_llm_calls AS
FROM calls_by('live_usage_roles');
