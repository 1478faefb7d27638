-- Version map: which version of each layer served which route, in how many traces, and when (UTC)
SELECT
    route,
    layer,
    name,
    version,
    traces,
    strftime(first_seen AT TIME ZONE 'UTC', '%H:%M:%S') AS first_seen,
    strftime(last_seen AT TIME ZONE 'UTC', '%H:%M:%S') AS last_seen
FROM version_map
ORDER BY route, layer, name, first_seen, version
