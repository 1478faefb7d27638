"""LlamaIndex: query and chat engines, retrievers, LLMs, embeddings, tools, agents and workflows.

Methods of LlamaIndex's base classes are wrapped in every class that implements them; workflow runs and
their steps are heard through the root dispatcher. Nothing is imported before the program imports it.
"""

from collections.abc import Collection
from functools import partial
from typing import Any, ClassVar

from opentelemetry.util.genai.handler import TelemetryHandler

from tupletrace.instrumentors.base import Instrumentor, Patches
from tupletrace.instrumentors.llama_index import embeddings, engines, inference, retrievers, templates, tools
from tupletrace.instrumentors.llama_index.conversations import continuing
from tupletrace.instrumentors.llama_index.hooks import Classes, Family
from tupletrace.instrumentors.registries import wrap_registries

__all__ = ["LlamaIndexInstrumentor"]

_DISPATCHER = "llama_index_instrumentation"
_WORKFLOW = "workflows.workflow"
_CALLING = "llama_index.core.tools.calling"
_CHAT = "llama_index.core.chat_engine.types"
_CHAT_STREAM = "StreamingAgentChatResponse.__post_init__"


class LlamaIndexInstrumentor(Instrumentor):
    """Says which prompt, model, retriever and tools answered, for LlamaIndex 0.14."""

    dependencies: ClassVar[Collection[str]] = ("llama-index-core >= 0.14, < 0.15",)
    # Before 2.16 a run was told by other spans of the dispatcher.
    beside: ClassVar[Collection[str]] = ("llama-index-workflows >= 2.16, < 3",)
    _retire: Any = None

    def patch(self, patches: Patches, telemetry: TelemetryHandler) -> None:
        """Wrap what is imported already; the rest as soon as it is."""
        families: list[Family] = [
            inference.family(telemetry),
            embeddings.family(telemetry),
            retrievers.family(telemetry),
            engines.query_family(telemetry),
            engines.chat_family(telemetry),
            tools.family(telemetry),
        ]

        def listen() -> None:
            from tupletrace.instrumentors.llama_index.workflows import attach_handlers

            self._retire = attach_handlers(telemetry)
            Classes(patches, families).adopt_all()

        patches.when_imported(_DISPATCHER, listen)
        for name in ("call_tool_with_selection", "acall_tool_with_selection"):
            patches.when_imported(_CALLING, partial(patches.wrap, _CALLING, name, tools.selected(telemetry)))
        patches.when_imported(_CHAT, partial(patches.wrap, _CHAT, _CHAT_STREAM, engines.chat_stream))
        patches.when_imported(_WORKFLOW, partial(patches.wrap, _WORKFLOW, "Workflow.run", continuing))
        wrap_registries(patches, templates.keep_registered)
        for module in templates.RENDERING:
            patches.when_imported(module, partial(templates.wrap_rendering, patches, module))

    def _uninstrument(self, **kwargs: Any) -> None:
        super()._uninstrument(**kwargs)
        if self._retire is not None:
            self._retire()
            self._retire = None
