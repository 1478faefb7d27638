-- LLM calls of open traces.
CREATE OR REPLACE VIEW live_llm_calls AS
WITH open_spans AS MATERIALIZED (FROM live_spans),
open_roles AS MATERIALIZED (FROM live_usage_roles)
FROM calls_by('open_spans', 'open_roles');
