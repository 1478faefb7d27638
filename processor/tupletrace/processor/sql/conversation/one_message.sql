-- A message in the shape of the semantic conventions: only an answer says why it ended.
CREATE MACRO one_message(side, role, parts, finish) AS
    CASE
        WHEN finish IS NULL OR side = 'input' THEN json_object('role', role, 'parts', parts)
        ELSE json_object('role', role, 'parts', parts, 'finish_reason', finish)
    END;
