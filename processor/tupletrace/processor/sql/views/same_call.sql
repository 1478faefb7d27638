-- Whether nothing that two spans say of a call's model, usage, response or failure contradicts. Of one response some count
-- what is cached apart, or the first chunk of a stream twice.
CREATE OR REPLACE MACRO same_call(one, other) AS
    one.embeds = other.embeds
    AND (
        coalesce(one.request_model, other.request_model) IS NULL
        OR coalesce(one.request_model, other.request_model, '') IN (other.request_model, other.response_model)
        OR coalesce(one.response_model, one.request_model) IN (other.request_model, other.response_model)
        OR coalesce(other.request_model, other.response_model) IS NULL
        OR coalesce(one.request_model, one.response_model) IS NULL
    )
    AND CASE
        WHEN one.response_id IS NULL OR other.response_id IS NULL
            THEN coalesce(one.input_tokens = other.input_tokens, TRUE)
                AND coalesce(one.output_tokens = other.output_tokens, TRUE)
        ELSE one.response_id = other.response_id
    END
    AND (one.status_code = 'ERROR') = (other.status_code = 'ERROR');
