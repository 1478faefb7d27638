-- Why a span counts as an LLM call or does not, by the day (UTC) on which it began.
SELECT *, CAST(make_timestamp(start_unix_nano // 1000) AS DATE) AS day FROM usage_roles
