"""``python peers.py VENDOR``: the recorded programs, or an agent of the vendor's own, under its library.

Where it sends is in ``OTEL_EXPORTER_OTLP_ENDPOINT``, as its documentation says.
"""
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false

import asyncio
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "processor" / "corpora"))
programs: Any = importlib.import_module("programs")

os.environ |= {
    "LANGSMITH_TRACING": "false",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
    "SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE": "true",
}


def provider() -> Any:
    """OpenTelemetry's own, for those who are given one."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider()
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(made)
    return made


def logs() -> Any:
    """OpenTelemetry's own for log records, where Semantic Kernel writes messages."""
    import logging

    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    made = LoggerProvider()
    made.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    logging.basicConfig(level=logging.INFO, handlers=[LoggingHandler(logger_provider=made)])
    return made


def traceai() -> None:
    """FutureAGI's instrumentors."""
    from traceai_langchain import LangChainInstrumentor
    from traceai_openai import OpenAIInstrumentor

    made = provider()
    OpenAIInstrumentor().instrument(tracer_provider=made)
    programs.chat()
    OpenAIInstrumentor().uninstrument()
    LangChainInstrumentor().instrument(tracer_provider=made)
    programs.agent()


def langfuse() -> None:
    """Langfuse's client in place of OpenAI's, and its handler."""
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler
    from langfuse.openai import OpenAI
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    client = Langfuse(public_key="pk", secret_key="sk", span_exporter=OTLPSpanExporter())
    programs.chat(OpenAI())
    programs.agent(CallbackHandler())
    client.flush()


def logfire() -> None:
    """Logfire's instrumentation of the client."""
    import logfire
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    sent = BatchSpanProcessor(OTLPSpanExporter())
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[sent])
    logfire.instrument_openai()
    programs.chat()
    logfire.force_flush()


def pydantic_ai() -> None:
    """An agent of pydantic-ai's."""
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings

    settings = InstrumentationSettings(tracer_provider=provider())
    made: Any = Agent(
        f"openai-chat:{programs.MODEL}",
        name="guide",
        instructions=programs.SYSTEM,
        tools=[programs.get_weather],
        capabilities=[],
    )
    made.instrument = settings
    print(made.run_sync(programs.QUESTION).output)


def openlit() -> None:
    """OpenLIT's instrumentors."""
    import openlit

    openlit.init(disable_metrics=True, disabled_instrumentors=["langchain"])
    programs.chat()


def strands() -> None:
    """An agent of Strands'."""
    from strands import Agent, tool
    from strands.models.openai import OpenAIModel

    provider()
    made = Agent(
        model=OpenAIModel(model_id=programs.MODEL),
        tools=[tool(programs.get_weather)],
        system_prompt=programs.SYSTEM,
        callback_handler=None,
    )
    print(made(programs.QUESTION))


def semantic_kernel() -> None:
    """An agent of Semantic Kernel's."""
    from semantic_kernel.agents import ChatCompletionAgent
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
    from semantic_kernel.functions import kernel_function

    class Weather:
        @kernel_function(name="get_weather", description="Get the weather of a city")
        def get_weather(self, city: str) -> str:
            return programs.get_weather(city)

    provider()
    written = logs()
    made = ChatCompletionAgent(
        service=OpenAIChatCompletion(ai_model_id=programs.MODEL),
        name="guide",
        instructions=programs.SYSTEM,
        plugins=[Weather()],
    )
    print(asyncio.run(made.get_response(programs.QUESTION)))
    written.force_flush()


def langsmith() -> None:
    """LangSmith's wrapper of the client and its tracer of LangChain."""
    os.environ |= {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_OTEL_ENABLED": "true",
        "LANGSMITH_OTEL_ONLY": "true",
        "LANGSMITH_API_KEY": "ls",
    }
    from langsmith import Client
    from langsmith.wrappers import wrap_openai
    from openai import OpenAI

    provider()
    programs.chat(wrap_openai(OpenAI()))
    programs.agent()
    Client().flush()


def monocle() -> None:
    """Monocle's."""
    from monocle_apptrace import setup_monocle_telemetry
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    setup_monocle_telemetry("weather", span_processors=[BatchSpanProcessor(OTLPSpanExporter())])
    programs.chat()
    programs.agent()


VENDORS: dict[str, Callable[[], None]] = {
    made.__name__: made
    for made in (
        traceai,
        langfuse,
        logfire,
        pydantic_ai,
        openlit,
        strands,
        semantic_kernel,
        langsmith,
        monocle,
    )
}

if __name__ == "__main__":
    VENDORS[sys.argv[1]]()
    from opentelemetry import trace

    getattr(trace.get_tracer_provider(), "force_flush", int)()
