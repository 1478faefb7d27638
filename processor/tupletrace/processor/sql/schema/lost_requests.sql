-- Journalled requests that could not be read: what was in them is not in `spans`.
CREATE TABLE IF NOT EXISTS lost_requests (
    journal_seq BIGINT,
    requests BIGINT,
    reason VARCHAR,
    noticed_at TIMESTAMP WITH TIME ZONE
);
