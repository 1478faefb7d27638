-- Whether a span of this operation, telling of these tokens, describes an LLM call (see call_spans_of).
CREATE OR REPLACE MACRO describes_call(operation_name, input_tokens, output_tokens) AS
    operation_name IN ('chat', 'text_completion', 'generate_content', 'embeddings')
    OR (
        operation_name IN ('fetch_response', 'invoke_agent')
        AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)
    );
