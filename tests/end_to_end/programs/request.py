"""Runs the programs that it is given within one span, as a web server runs a request's code."""

import runpy
import sys

from opentelemetry import trace

with trace.get_tracer("server").start_as_current_span("GET /lamps", kind=trace.SpanKind.SERVER):
    for program in list(sys.argv[1:]):
        sys.argv = [program]
        runpy.run_path(program, run_name="__main__")
