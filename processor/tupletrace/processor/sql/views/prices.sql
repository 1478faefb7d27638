-- Every price in use: USD per unit (a token, a request, a second, an image) of a model, while and where it is valid.
CREATE OR REPLACE VIEW prices AS
SELECT
    provider_name, model, service_tier, unit, price_usd, above_input_tokens, up_to_input_tokens,
    valid_from, valid_to, daily_from, daily_to, route, source
FROM (
    SELECT *, 'input_token' AS unit, input_usd AS price_usd FROM price_book
    UNION ALL SELECT *, 'cache_read_token', cache_read_usd FROM price_book
    UNION ALL SELECT *, 'cache_write_token', cache_write_usd FROM price_book
    UNION ALL SELECT *, 'output_token', output_usd FROM price_book
    UNION ALL SELECT *, 'reasoning_token', reasoning_usd FROM price_book
    UNION ALL SELECT *, 'cache_write_1h_token', cache_write_1h_usd FROM price_book
    UNION ALL SELECT *, 'audio_input_token', audio_input_usd FROM price_book
    UNION ALL SELECT *, 'audio_cache_read_token', audio_cache_read_usd FROM price_book
    UNION ALL SELECT *, 'image_input_token', image_input_usd FROM price_book
    UNION ALL SELECT *, 'audio_output_token', audio_output_usd FROM price_book
    UNION ALL SELECT *, 'image_output_token', image_output_usd FROM price_book
    UNION ALL SELECT *, 'request', request_usd FROM price_book
    UNION ALL SELECT *, 'second', second_usd FROM price_book
    UNION ALL SELECT *, 'image', image_usd FROM price_book
) AS units
WHERE price_usd IS NOT NULL;
