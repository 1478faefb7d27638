-- Every price in use: USD per unit (one token, or one request) of a model, while and where it is valid.
CREATE OR REPLACE VIEW prices AS
SELECT
    provider_name, model, service_tier, unit, price_usd, above_input_tokens, up_to_input_tokens,
    valid_from, valid_to, daily_from, daily_to, source
FROM (
    SELECT *, 'input_token' AS unit, input_usd AS price_usd FROM price_book
    UNION ALL SELECT *, 'cache_read_token', cache_read_usd FROM price_book
    UNION ALL SELECT *, 'cache_write_token', cache_write_usd FROM price_book
    UNION ALL SELECT *, 'output_token', output_usd FROM price_book
    UNION ALL SELECT *, 'reasoning_token', reasoning_usd FROM price_book
    UNION ALL SELECT *, 'request', request_usd FROM price_book
) AS units
WHERE price_usd IS NOT NULL;
