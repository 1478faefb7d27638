-- Whether a time is in a window: from `since` on, before `until`; a bound that is NULL does not bind.
CREATE OR REPLACE MACRO within(moment, since, until) AS
    (since IS NULL OR moment >= CAST(since AS TIMESTAMP WITH TIME ZONE))
    AND (until IS NULL OR moment < CAST(until AS TIMESTAMP WITH TIME ZONE));
