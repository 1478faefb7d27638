-- The last journalled request of whose traces the rollups were written.
SELECT
    CASE
        WHEN EXISTS (FROM open_traces) THEN coalesce((SELECT max(settled_seq) FROM settled_traces), 0)
        ELSE indexed_seq()
    END;
