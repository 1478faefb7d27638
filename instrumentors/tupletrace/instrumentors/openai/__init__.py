"""OpenAI client instrumentor: whatever a model answers, and what is fetched and searched."""

from collections.abc import Collection
from functools import partial
from typing import ClassVar

from opentelemetry.util.genai.handler import TelemetryHandler

from tupletrace.instrumentors.base import Instrumentor, Patches

_GOING_ON = ("poll", "submit_tool_outputs", "submit_tool_outputs_and_poll")
PATCHED: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("openai.resources.chat.completions", "Completions", ("create", "parse"), "chat"),
    ("openai.resources.beta.chat.completions", "Completions", ("parse",), "chat"),
    ("openai.resources.responses", "Responses", ("create", "parse", "compact"), "responses"),
    ("openai.resources.beta.responses", "Responses", ("create", "compact"), "responses"),
    ("openai.resources.decisions", "Decisions", ("create",), "decisions"),
    ("openai.resources.completions", "Completions", ("create",), "completions"),
    ("openai.resources.embeddings", "Embeddings", ("create",), "embeddings"),
    ("openai.resources.responses", "Responses", ("retrieve", "cancel"), "fetched"),
    ("openai.resources.beta.responses", "Responses", ("retrieve", "cancel"), "fetched"),
    ("openai.resources.images", "Images", ("generate", "edit", "create_variation"), "images"),
    ("openai.resources.videos", "Videos", ("create", "edit", "extend", "remix"), "videos"),
    ("openai.resources.audio.speech", "Speech", ("create",), "speech"),
    ("openai.resources.audio.transcriptions", "Transcriptions", ("create",), "transcriptions"),
    ("openai.resources.audio.translations", "Translations", ("create",), "transcriptions"),
    ("openai.resources.moderations", "Moderations", ("create",), "moderations"),
    ("openai.resources.batches", "Batches", ("create",), "batches"),
    ("openai.resources.vector_stores.vector_stores", "VectorStores", ("search",), "search"),
    ("openai.resources.beta.threads.runs.runs", "Runs", ("create", "create_and_poll"), "runs"),
    ("openai.resources.beta.threads.runs.runs", "Runs", _GOING_ON, "runs going on"),
    ("openai.resources.beta.threads.runs.runs", "Runs", ("retrieve", "cancel"), "fetched runs"),
    ("openai.resources.beta.threads.runs.runs", "Runs", ("stream", "create_and_stream"), "streamed runs"),
    ("openai.resources.beta.threads.runs.runs", "Runs", ("submit_tool_outputs_stream",), "streamed runs"),
    ("openai.resources.beta.threads.threads", "Threads", ("create_and_run", "create_and_run_poll"), "runs"),
    ("openai.resources.beta.threads.threads", "Threads", ("create_and_run_stream",), "streamed runs"),
)
"""Module, class (its ``Async`` twin likewise), methods and name of the endpoint.

The ``stream()`` helpers of completions and responses go through ``create``; ``parse`` posts on its own.
"""

CONNECTED = {
    "openai.resources.realtime.realtime": "Realtime",
    "openai.resources.beta.realtime.realtime": "Realtime",
    "openai.resources.responses.responses": "Responses",
    "openai.resources.beta.responses.responses": "Responses",
    "openai.resources.live.live": "Live",
    "openai.resources.live.forks": "Forks",
    "openai.resources.live.sideband": "Sideband",
}
"""By module: the resource whose ``connect`` returns a manager of a connection, both named after it."""

AGENTS = {
    "openai.resources.beta.agents.sessions.sessions": ("Sessions", "create"),
    "openai.resources.beta.agents.sessions.events": ("Events", "stream"),
}
"""By module: the resource and its method that may return a stream of a session's events."""


class OpenAIInstrumentor(Instrumentor):
    """Trace every call of the ``openai`` client with what identifies model, prompt and tools."""

    dependencies: ClassVar[Collection[str]] = ("openai >= 1.60, < 4",)

    def patch(self, patches: Patches, telemetry: TelemetryHandler) -> None:
        """Patch each resource once the program uses it: the client itself imports them lazily."""
        for module, resource, methods, endpoint in PATCHED:
            patches.when_imported(
                module, partial(_patch, patches, telemetry, module, resource, methods, endpoint)
            )
        patches.when_imported("openai._base_client", partial(_patch_client, patches, telemetry))
        patches.when_imported("openai.resources.files", partial(_patch_files, patches, telemetry))
        for module in CONNECTED:
            patches.when_imported(module, partial(_patch_connections, patches, telemetry, module))
        for module in AGENTS:
            patches.when_imported(module, partial(_patch_agents, patches, telemetry, module))


def _patch(
    patches: Patches,
    telemetry: TelemetryHandler,
    module: str,
    resource: str,
    methods: tuple[str, ...],
    endpoint: str,
) -> None:
    # Here, not above: this package is imported where openai may be absent, or present and never used.
    from tupletrace.instrumentors.openai import calls, managers
    from tupletrace.instrumentors.openai.deprecations import warning_first
    from tupletrace.instrumentors.openai.endpoints import ENDPOINTS

    synchronous, asynchronous = calls.synchronous, calls.asynchronous
    if endpoint == "search":
        asynchronous = calls.paginated
    elif endpoint == "streamed runs":
        synchronous, asynchronous = managers.synchronous, managers.asynchronous
    for prefix, watched in (("", synchronous), ("Async", asynchronous)):
        wrapper = watched(telemetry, ENDPOINTS[endpoint])
        if endpoint == "fetched runs":
            wrapper = calls.outermost(wrapper)
        if ENDPOINTS[endpoint].deprecated:
            wrapper = warning_first(wrapper)
        for method in methods:
            patches.wrap(module, f"{prefix}{resource}.{method}", wrapper)


def _patch_client(patches: Patches, telemetry: TelemetryHandler) -> None:
    from tupletrace.instrumentors.openai.posts import patch_posts
    from tupletrace.instrumentors.openai.retries import patch_retries

    patch_retries(patches)
    patch_posts(patches, telemetry)


def _patch_files(patches: Patches, telemetry: TelemetryHandler) -> None:
    from tupletrace.instrumentors.openai import batches

    patches.wrap("openai.resources.files", "Files.content", batches.synchronous(telemetry))
    patches.wrap("openai.resources.files", "AsyncFiles.content", batches.asynchronous(telemetry))


def _patch_connections(patches: Patches, telemetry: TelemetryHandler, module: str) -> None:
    from tupletrace.instrumentors.openai.realtime import patch_connections

    patch_connections(patches, telemetry, module, CONNECTED[module])


def _patch_agents(patches: Patches, telemetry: TelemetryHandler, module: str) -> None:
    from tupletrace.instrumentors.openai import agents

    resource, method = AGENTS[module]
    patches.wrap(module, f"{resource}.{method}", agents.synchronous(telemetry))
    patches.wrap(module, f"Async{resource}.{method}", agents.asynchronous(telemetry))


__all__ = ["OpenAIInstrumentor"]
