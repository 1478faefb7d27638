-- Say that something was dropped whose bytes are still in the file (see compact).
INSERT INTO meta
SELECT 'lingering', 1
WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = 'lingering');
