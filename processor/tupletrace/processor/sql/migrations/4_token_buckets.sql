-- Tokens by kind and lifetime of the cache, what the vendor says a call cost, tags, and what contradicts.
ALTER TABLE spans ADD COLUMN cache_write_5m_input_tokens BIGINT;
ALTER TABLE spans ADD COLUMN cache_write_1h_input_tokens BIGINT;
ALTER TABLE spans ADD COLUMN audio_input_tokens BIGINT;
ALTER TABLE spans ADD COLUMN audio_cache_read_input_tokens BIGINT;
ALTER TABLE spans ADD COLUMN image_input_tokens BIGINT;
ALTER TABLE spans ADD COLUMN audio_output_tokens BIGINT;
ALTER TABLE spans ADD COLUMN image_output_tokens BIGINT;
ALTER TABLE spans ADD COLUMN images BIGINT;
ALTER TABLE spans ADD COLUMN tags VARCHAR[];
ALTER TABLE spans ADD COLUMN conflicts MAP(VARCHAR, VARCHAR);
