-- USD per token (request_usd: per request) of a model while a price was valid; NULL: no such price is known.
-- daily_from/daily_to: time of day (UTC) of off-peak prices. above/up_to_input_tokens: context tiers.
-- A model that was looked up and is unknown has one row without any price and without a source.
CREATE TABLE IF NOT EXISTS price_book (
    provider_name VARCHAR,
    model VARCHAR,
    service_tier VARCHAR,
    input_usd DECIMAL(24, 12),
    cache_read_usd DECIMAL(24, 12),
    cache_write_usd DECIMAL(24, 12),
    output_usd DECIMAL(24, 12),
    reasoning_usd DECIMAL(24, 12),
    request_usd DECIMAL(24, 12),
    above_input_tokens BIGINT,
    up_to_input_tokens BIGINT,
    valid_from TIMESTAMP WITH TIME ZONE,
    valid_to TIMESTAMP WITH TIME ZONE,
    daily_from TIME,
    daily_to TIME,
    source VARCHAR
);
