-- Take away what the requests from $seq on have brought, as if the journal had been indexed up to there only.
CREATE OR REPLACE TEMPORARY TABLE rewound AS SELECT DISTINCT trace_id FROM spans WHERE journal_seq >= $seq;

DELETE FROM spans WHERE journal_seq >= $seq;

DELETE FROM log_records WHERE journal_seq >= $seq;

DELETE FROM evaluation_results WHERE journal_seq >= $seq;

DELETE FROM settled_llm_calls WHERE trace_id IN (SELECT trace_id FROM rewound);

DELETE FROM settled_usage_roles WHERE trace_id IN (SELECT trace_id FROM rewound);

DELETE FROM settled_layers WHERE trace_id IN (SELECT trace_id FROM rewound);

DELETE FROM settled_traces WHERE trace_id IN (SELECT trace_id FROM rewound);

DELETE FROM open_traces WHERE trace_id IN (SELECT trace_id FROM rewound);

INSERT INTO open_traces BY NAME
SELECT trace_id, min(journal_seq) AS first_seq, now() AS last_indexed
FROM spans
WHERE trace_id IN (SELECT trace_id FROM rewound)
GROUP BY trace_id;

UPDATE meta SET value = $seq - 1 WHERE key = 'journal_seq';
