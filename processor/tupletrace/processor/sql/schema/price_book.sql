-- USD per token (request_usd: per request) of a model while a price was valid; NULL: no such price is known.
-- 22 decimals: some published prices carry the noise of a binary fraction, and cost is exact to the last digit.
-- daily_from/daily_to: time of day (UTC) of off-peak prices. above/up_to_input_tokens: context tiers.
-- A model that was looked up and is unknown has one row without any price and without a source.
CREATE TABLE IF NOT EXISTS price_book (
    provider_name VARCHAR,
    model VARCHAR,
    service_tier VARCHAR,
    input_usd DECIMAL(26, 22),
    cache_read_usd DECIMAL(26, 22),
    cache_write_usd DECIMAL(26, 22),
    output_usd DECIMAL(26, 22),
    reasoning_usd DECIMAL(26, 22),
    request_usd DECIMAL(26, 22),
    above_input_tokens BIGINT,
    up_to_input_tokens BIGINT,
    valid_from TIMESTAMP WITH TIME ZONE,
    valid_to TIMESTAMP WITH TIME ZONE,
    daily_from TIME,
    daily_to TIME,
    source VARCHAR
);
