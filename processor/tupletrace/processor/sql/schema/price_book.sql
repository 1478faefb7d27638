-- USD per token (request_usd: per request, second_usd: of the call, image_usd: per image made) of a model while a price was valid; NULL: no such price is known.
-- 22 decimals: some published prices carry the noise of a binary fraction, and cost is exact to the last digit.
-- daily_from/daily_to: time of day (UTC) of off-peak prices. above/up_to_input_tokens: context tiers.
-- route, other_routes: regular expressions of the routes that a price of the user's is for, and is not for.
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
    cache_write_1h_usd DECIMAL(26, 22),
    audio_input_usd DECIMAL(26, 22),
    audio_cache_read_usd DECIMAL(26, 22),
    image_input_usd DECIMAL(26, 22),
    audio_output_usd DECIMAL(26, 22),
    image_output_usd DECIMAL(26, 22),
    second_usd DECIMAL(26, 22),
    image_usd DECIMAL(26, 22),
    route VARCHAR,
    other_routes VARCHAR,
    above_input_tokens BIGINT,
    up_to_input_tokens BIGINT,
    valid_from TIMESTAMP WITH TIME ZONE,
    valid_to TIMESTAMP WITH TIME ZONE,
    daily_from TIME,
    daily_to TIME,
    source VARCHAR
);
