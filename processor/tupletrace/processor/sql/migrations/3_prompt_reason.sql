-- Why a prompt has no version.
ALTER TABLE spans ADD COLUMN prompt_reason VARCHAR;
