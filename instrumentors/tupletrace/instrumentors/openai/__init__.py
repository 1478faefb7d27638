"""OpenAI client instrumentor: whatever a model answers, and what is fetched and searched."""

from collections.abc import Collection
from functools import partial
from typing import ClassVar

from opentelemetry.util.genai.handler import TelemetryHandler

from tupletrace.instrumentors.base import Instrumentor, Patches

PATCHED: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("openai.resources.chat.completions", "Completions", ("create", "parse"), "chat"),
    ("openai.resources.beta.chat.completions", "Completions", ("parse",), "chat"),
    ("openai.resources.responses", "Responses", ("create", "parse"), "responses"),
    ("openai.resources.beta.responses", "Responses", ("create",), "responses"),
    ("openai.resources.completions", "Completions", ("create",), "completions"),
    ("openai.resources.embeddings", "Embeddings", ("create",), "embeddings"),
    ("openai.resources.responses", "Responses", ("retrieve", "cancel"), "fetched"),
    ("openai.resources.beta.responses", "Responses", ("retrieve", "cancel"), "fetched"),
    ("openai.resources.images", "Images", ("generate", "edit", "create_variation"), "images"),
    ("openai.resources.audio.speech", "Speech", ("create",), "speech"),
    ("openai.resources.audio.transcriptions", "Transcriptions", ("create",), "transcriptions"),
    ("openai.resources.audio.translations", "Translations", ("create",), "transcriptions"),
    ("openai.resources.moderations", "Moderations", ("create",), "moderations"),
    ("openai.resources.batches", "Batches", ("create",), "batches"),
    ("openai.resources.vector_stores.vector_stores", "VectorStores", ("search",), "search"),
    ("openai.resources.beta.threads.runs.runs", "Runs", ("create",), "runs"),
    ("openai.resources.beta.threads.threads", "Threads", ("create_and_run",), "runs"),
)
"""Module, class (its ``Async`` twin likewise), methods and name of the endpoint.

The ``stream()`` helpers go through ``create``; ``parse`` posts on its own.
"""


class OpenAIInstrumentor(Instrumentor):
    """Trace every call of the ``openai`` client with what identifies model, prompt and tools."""

    dependencies: ClassVar[Collection[str]] = ("openai >= 1.60, < 4",)

    def patch(self, patches: Patches, telemetry: TelemetryHandler) -> None:
        """Patch each resource once the program uses it: the client itself imports them lazily."""
        for module, resource, methods, endpoint in PATCHED:
            patches.when_imported(
                module, partial(_patch, patches, telemetry, module, resource, methods, endpoint)
            )
        patches.when_imported("openai._base_client", partial(_patch_retries, patches))


def _patch(
    patches: Patches,
    telemetry: TelemetryHandler,
    module: str,
    resource: str,
    methods: tuple[str, ...],
    endpoint: str,
) -> None:
    # Here, not above: this package is imported where openai may be absent, or present and never used.
    from tupletrace.instrumentors.openai import calls
    from tupletrace.instrumentors.openai.endpoints import ENDPOINTS

    asynchronous = calls.paginated if endpoint == "search" else calls.asynchronous
    for method in methods:
        patches.wrap(module, f"{resource}.{method}", calls.synchronous(telemetry, ENDPOINTS[endpoint]))
        patches.wrap(module, f"Async{resource}.{method}", asynchronous(telemetry, ENDPOINTS[endpoint]))


def _patch_retries(patches: Patches) -> None:
    from tupletrace.instrumentors.openai.retries import patch_retries

    patch_retries(patches)


__all__ = ["OpenAIInstrumentor"]
