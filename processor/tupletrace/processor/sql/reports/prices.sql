-- `tupletrace prices`: every price in use, by whom it is said, and since when it is valid.
SELECT provider_name, model, service_tier, route, unit, price_usd, above_input_tokens, valid_from, valid_to, source
FROM prices
ORDER BY provider_name, model, service_tier, route, unit, valid_from, above_input_tokens;
