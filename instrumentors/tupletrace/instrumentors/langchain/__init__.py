"""LangChain and LangGraph: chains, graphs and their nodes, chat models, prompts, retrievers and tools."""

import sys
from collections.abc import Collection
from contextvars import ContextVar
from functools import partial
from importlib.metadata import version
from typing import Any, ClassVar, Final

from opentelemetry.trace import get_tracer

from tupletrace.instrumentors.base import Instrumentor, Patches, Wrapper
from tupletrace.instrumentors.inference import Telemetry
from tupletrace.instrumentors.langchain import middleware
from tupletrace.instrumentors.langchain.calls import Calls
from tupletrace.instrumentors.langchain.embedders import Embedders
from tupletrace.instrumentors.langchain.families import Choose, adopt
from tupletrace.instrumentors.langchain.hubs import Hubs
from tupletrace.instrumentors.langchain.recorder import Recorder
from tupletrace.instrumentors.langchain.renders import Renders
from tupletrace.instrumentors.langchain.retrievals import Retrievals
from tupletrace.instrumentors.registries import wrap_registries

_HOOKS: Final = "langchain_core.tracers.context"
_CONFIG_CONTEXTS: Final = (
    "langchain_core.runnables.config",
    "langchain_core.runnables.fallbacks",
    "langgraph._internal._runnable",
)
_LOSING_THE_STACK: Final = (
    "Runnable.abatch",
    "RunnableBindingBase.abatch",
    "RunnableBindingBase.ainvoke",
    "RunnableParallel.ainvoke",
    "RunnableSequence.abatch",
    "RunnableSequence.ainvoke",
)
_EVENTS: Final = ("Runnable._astream_events_v1_v2", "Runnable.astream_events")
"""What yields the events of a chain; the second where LangChain does not have the first yet."""
_YIELDING: Final = (
    "Runnable.abatch_as_completed",
    "Runnable.astream_log",
    "Runnable.batch_as_completed",
)
_EXECUTORS: Final = ("langchain_classic.agents.agent", "langchain.agents.agent")
_TEMPLATES: Final = {
    "langchain_core.prompts.chat": ("BaseChatPromptTemplate", "ChatPromptTemplate"),
    "langchain_core.prompts.few_shot": ("FewShotPromptTemplate", "FewShotChatMessagePromptTemplate"),
    "langchain_core.prompts.few_shot_with_templates": ("FewShotPromptWithTemplates",),
    "langchain_core.prompts.prompt": ("PromptTemplate",),
    "langchain_core.prompts.string": ("StringPromptTemplate",),
}
_METHODS: Final = ("format", "format_messages", "format_prompt")


class LangChainInstrumentor(Instrumentor):
    """Spans for what LangChain runs, and on each the identity of its prompt, retriever, tools and agent."""

    dependencies: ClassVar[Collection[str]] = ("langchain-core >= 0.3.30, < 2",)
    beside: ClassVar[Collection[str]] = ("langgraph >= 0.6, < 2",)
    _tracer_provider: Any = None
    _recorder: Recorder | None = None
    _hook: tuple[Any, ...] | None = None

    def patch(self, patches: Patches, telemetry: Telemetry) -> None:
        """Hook into LangChain's callbacks, and wrap what they do not tell or reach."""
        tracer = get_tracer(type(self).__module__, version("tupletrace"), self._tracer_provider)
        self._recorder = recorder = Recorder(telemetry, tracer)
        calls, retrievals = Calls(recorder), Retrievals(recorder)
        patches.when_imported(_HOOKS, partial(self._add_handler, patches, calls, recorder))
        for module, wrappers in _wrappers(calls).items():
            patches.when_imported(module, partial(_wrap_all, patches, module, wrappers))
        families: dict[str, tuple[str, Choose]] = {
            "langchain_core.retrievers": ("BaseRetriever", retrievals.own),
            "langchain_core.vectorstores.base": ("VectorStore", retrievals.search),
            "langchain_core.embeddings.embeddings": ("Embeddings", Embedders(recorder).embed),
        }
        for module, (base, choose) in families.items():
            patches.when_imported(module, partial(adopt, patches, module, base, choose))
        base = "langchain_core.runnables.base"
        patches.when_imported(base, partial(_wrap_first, patches, base, _EVENTS, calls.called_for_each))
        wrap_registries(patches, recorder.renderings.keep_text)
        for module, wrappers in Hubs(recorder.renderings.keep_text).wrappers.items():
            patches.when_imported(module, partial(_wrap_all, patches, module, wrappers))
        renders = Renders(recorder)
        for module, classes in _TEMPLATES.items():
            patches.when_imported(module, partial(_wrap_templates, patches, module, classes, renders))

    def _instrument(self, **kwargs: Any) -> None:
        self._tracer_provider = kwargs.get("tracer_provider")
        super()._instrument(**kwargs)

    def _uninstrument(self, **kwargs: Any) -> None:
        super()._uninstrument(**kwargs)
        if self._recorder is not None:
            self._recorder.active = False
            self._recorder = None
        if self._hook is not None:
            hooks = _configure_hooks()
            if self._hook in hooks:
                hooks.remove(self._hook)
            self._hook = None

    def _add_handler(self, patches: Patches, calls: Calls, recorder: Recorder) -> None:
        from langchain_core.tracers.context import register_configure_hook

        from tupletrace.instrumentors.langchain.handler import Handler

        handler = Handler(recorder)
        # A default is the same in every thread and task.
        variable: ContextVar[Handler | None] = ContextVar("tupletrace_langchain", default=handler)
        register_configure_hook(variable, inheritable=True)
        self._hook = _configure_hooks()[-1]
        patches.wrap(
            "langchain_core.callbacks.manager", "AsyncCallbackManager.on_llm_start", calls.llm_start(handler)
        )


def _wrappers(calls: Calls) -> dict[str, dict[str, Wrapper]]:
    models: dict[str, Wrapper] = {
        "invoke": calls.model,
        "ainvoke": calls.amodel,
        "stream": calls.stream("model"),
        "astream": calls.astream("model"),
    }
    executor: dict[str, Wrapper] = {
        "AgentExecutor.invoke": calls.executor,
        "AgentExecutor.ainvoke": calls.aexecutor,
        "AgentExecutor.stream": calls.stream("executor"),
        "AgentExecutor.astream": calls.astream("executor"),
    }
    return {
        # Before langchain-core 0.3.50 these modules had names of their own for it.
        **{module: {"_set_config_context": calls.config_context} for module in _CONFIG_CONTEXTS},
        "langchain_core.runnables.base": {
            "_set_config_context": calls.config_context,
            **dict.fromkeys(_LOSING_THE_STACK, calls.acalled),
            **dict.fromkeys(_YIELDING, calls.called_for_each),
        },
        "langchain_core.language_models.chat_models": {
            **{f"BaseChatModel.{name}": wrapper for name, wrapper in models.items()},
            "BaseChatModel.agenerate": calls.amodels,
            "BaseChatModel._generate_with_cache": calls.generate,
            "BaseChatModel._agenerate_with_cache": calls.agenerate,
            "BaseChatModel._iter_v2_events": calls.events,
            "BaseChatModel._aiter_v2_events": calls.aevents,
        },
        "langchain_core.language_models.llms": {
            **{f"BaseLLM.{name}": wrapper for name, wrapper in models.items()},
            "BaseLLM._generate_helper": calls.generate,
            "BaseLLM._agenerate_helper": calls.agenerate,
        },
        **dict.fromkeys(_EXECUTORS, executor),
        "langchain_core.tools.base": {
            "BaseTool.run": calls.tool,
            "BaseTool.arun": calls.atool,
            "_handle_tool_error": calls.tell,
            "_handle_validation_error": calls.tell,
            "_set_config_context": calls.config_context,
        },
        middleware.SUMMARIZATION: {
            "SummarizationMiddleware._create_summary": middleware.summarize,
            "SummarizationMiddleware._acreate_summary": middleware.asummarize,
        },
        "langgraph.pregel.main": {
            "Pregel.stream": calls.stream("graph"),
            "Pregel.astream": calls.astream("graph"),
            "Pregel.ainvoke": calls.acalled,
        },
    }


def _wrap_all(patches: Patches, module: str, wrappers: dict[str, Wrapper]) -> None:
    for path, wrapper in wrappers.items():
        patches.wrap(module, path, wrapper)


def _wrap_first(patches: Patches, module: str, paths: tuple[str, ...], wrapper: Wrapper) -> None:
    any(patches.wrap(module, path, wrapper) for path in paths)


def _wrap_templates(patches: Patches, module: str, classes: tuple[str, ...], renders: Renders) -> None:
    for name in classes:
        methods = vars(getattr(sys.modules[module], name, object))
        for method in _METHODS:
            if method in methods and not getattr(methods[method], "__isabstractmethod__", False):
                patches.wrap(module, f"{name}.{method}", renders.render)
            if f"a{method}" in methods:
                patches.wrap(module, f"{name}.a{method}", renders.arender)


def _configure_hooks() -> list[tuple[Any, ...]]:
    return vars(sys.modules[_HOOKS])["_configure_hooks"]
