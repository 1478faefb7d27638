"""Which attribute each field of util-genai's data becomes."""

from collections.abc import Mapping
from typing import Final

from tupletrace.semconv import names

_MEDIA: Final = ("text", "image", "audio")
FACTS: Final[Mapping[str, str]] = {
    "conversation_compacted": "gen_ai.conversation.compacted",
    "conversation_id": names.CONVERSATION_ID,
    "embeddings_dimension_count": "gen_ai.embeddings.dimension.count",
    "output_type": "gen_ai.output.type",
    "prompt_name": names.PROMPT_NAME,
    "prompt_version": names.PROMPT_VERSION,
    "provider_name": names.PROVIDER_NAME,
    "request_choice_count": "gen_ai.request.choice.count",
    "request_encoding_formats": "gen_ai.request.encoding_formats",
    "request_frequency_penalty": "gen_ai.request.frequency_penalty",
    "request_max_tokens": "gen_ai.request.max_tokens",
    "request_model": names.REQUEST_MODEL,
    "request_presence_penalty": "gen_ai.request.presence_penalty",
    "request_previous_response_id": names.REQUEST_PREVIOUS_RESPONSE_ID,
    "request_reasoning_level": "gen_ai.request.reasoning.level",
    "request_seed": "gen_ai.request.seed",
    "request_stop_sequences": "gen_ai.request.stop_sequences",
    "request_stream": names.REQUEST_STREAM,
    "request_temperature": "gen_ai.request.temperature",
    "request_top_k": "gen_ai.request.top_k",
    "request_top_p": "gen_ai.request.top_p",
    "response_finish_reasons": names.RESPONSE_FINISH_REASONS,
    "response_id": names.RESPONSE_ID,
    "response_model": names.RESPONSE_MODEL,
    "response_time_to_first_chunk": names.TIME_TO_FIRST_CHUNK,
    "server_address": "server.address",
    "server_port": "server.port",
    "usage_cache_read_input_tokens": names.CACHE_READ_INPUT_TOKENS,
    "usage_cache_write_input_tokens": names.CACHE_WRITE_INPUT_TOKENS,
    "usage_input_tokens": names.INPUT_TOKENS,
    "usage_output_tokens": names.OUTPUT_TOKENS,
    "usage_reasoning_output_tokens": names.REASONING_OUTPUT_TOKENS,
    **{f"usage_{of}_input_tokens": f"gen_ai.usage.{of}.input_tokens" for of in _MEDIA},
    **{f"usage_{of}_output_tokens": f"gen_ai.usage.{of}.output_tokens" for of in _MEDIA},
    **{f"usage_{of}_cache_read_input_tokens": f"gen_ai.usage.{of}.cache_read.input_tokens" for of in _MEDIA},
}
"""Attributes by the field of ``InferenceData`` or ``EmbeddingData`` that becomes them."""
CONTENT: Final[Mapping[str, str]] = {
    "input_messages": names.INPUT_MESSAGES,
    "output_messages": names.OUTPUT_MESSAGES,
    "system_instructions": names.SYSTEM_INSTRUCTIONS,
    "tool_definitions": names.TOOL_DEFINITIONS,
}
"""What a model was told and answered, likewise."""
