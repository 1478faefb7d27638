-- The worst provenance among a layer's members: 3 missing, 2 derived, 1 declared, 0 or NULL: took no part.
CREATE OR REPLACE MACRO provenance_label(severity) AS
    CASE coalesce(severity, 0) WHEN 3 THEN 'missing' WHEN 2 THEN 'derived' WHEN 1 THEN 'declared' ELSE 'not_applicable' END;
