-- Log records and evaluations that say that they are of what is due (see about_due).
DELETE FROM log_records
WHERE EXISTS (SELECT 1 FROM about WHERE log_records.attributes[about.key] = about.value);

DELETE FROM evaluation_results
WHERE conversation_id IN (SELECT value FROM about WHERE key = 'gen_ai.conversation.id');
