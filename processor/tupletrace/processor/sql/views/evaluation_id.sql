-- What makes an evaluation the same one when it is sent again, where it has no id of its own.
CREATE OR REPLACE MACRO evaluation_id(said) AS left(
    sha256(
        concat_ws(
            chr(9),
            said.trace_id, said.span_id, said.conversation_id, said.response_id, said.name,
            said.evaluator_name, said.evaluator_version, said.time_unix_nano
        )
    ),
    32
);
