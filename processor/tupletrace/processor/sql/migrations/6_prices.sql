-- Prices of the user's own, and of every kind of token.
ALTER TABLE price_book ADD COLUMN cache_write_1h_usd DECIMAL(26, 22);
ALTER TABLE price_book ADD COLUMN audio_input_usd DECIMAL(26, 22);
ALTER TABLE price_book ADD COLUMN audio_cache_read_usd DECIMAL(26, 22);
ALTER TABLE price_book ADD COLUMN image_input_usd DECIMAL(26, 22);
ALTER TABLE price_book ADD COLUMN audio_output_usd DECIMAL(26, 22);
ALTER TABLE price_book ADD COLUMN image_output_usd DECIMAL(26, 22);
ALTER TABLE price_book ADD COLUMN second_usd DECIMAL(26, 22);
ALTER TABLE price_book ADD COLUMN image_usd DECIMAL(26, 22);
ALTER TABLE price_book ADD COLUMN route VARCHAR;
ALTER TABLE price_book ADD COLUMN other_routes VARCHAR;
