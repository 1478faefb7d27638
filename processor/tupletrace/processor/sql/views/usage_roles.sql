-- Which span counts an LLM call, and which repeat it or sum over several.
CREATE OR REPLACE VIEW usage_roles AS
SELECT * EXCLUDE (settled_seq) FROM settled_usage_roles;
