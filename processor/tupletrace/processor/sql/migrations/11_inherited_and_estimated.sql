-- What was estimated of a call whose content is gone. Rollups, which now say what is inherited, are made anew.
ALTER TABLE spans ADD COLUMN estimated_input_tokens BIGINT;
ALTER TABLE spans ADD COLUMN estimated_output_tokens BIGINT;
ALTER TABLE spans ADD COLUMN estimated_by VARCHAR;
