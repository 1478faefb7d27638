-- What users have set, as their file beside the database says it; `settings` adds what they have not.
CREATE TABLE IF NOT EXISTS own_settings (key VARCHAR, value DOUBLE);
