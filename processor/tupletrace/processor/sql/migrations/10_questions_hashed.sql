-- What two questions are told apart by once their text is gone.
ALTER TABLE spans ADD COLUMN input_hash VARCHAR;
