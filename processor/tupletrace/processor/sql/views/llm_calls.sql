-- Every LLM call once, with its tokens in disjoint buckets and its cost at the price valid when it started.
CREATE OR REPLACE VIEW llm_calls AS
SELECT * EXCLUDE (is_root, settled_seq) FROM settled_llm_calls;
