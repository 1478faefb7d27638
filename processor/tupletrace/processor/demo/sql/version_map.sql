-- Version map: which version of each layer served which route, and when.
SELECT
    route,
    layer,
    name,
    version,
    provenance,
    traces,
    strftime(first_seen, '%H:%M:%S') AS first_seen,
    strftime(last_seen, '%H:%M:%S') AS last_seen
FROM version_map
ORDER BY route, layer, name, first_seen
