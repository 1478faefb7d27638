-- What OTLP says of a span beside its attributes. Rollups, which now hold estimates, are made anew.
ALTER TABLE spans ADD COLUMN flags BIGINT;
ALTER TABLE spans ADD COLUMN dropped_attributes_count BIGINT;
ALTER TABLE spans ADD COLUMN dropped_events_count BIGINT;
ALTER TABLE spans ADD COLUMN dropped_links_count BIGINT;
ALTER TABLE spans ADD COLUMN schema_url VARCHAR;
ALTER TABLE spans ADD COLUMN resource_schema_url VARCHAR;
ALTER TABLE spans ADD COLUMN scope_attributes MAP(VARCHAR, VARCHAR);
