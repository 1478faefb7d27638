"""Web servers that fork workers, or end by signals of their own, deliver every span of every request."""

import http.client
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

_APP = """
from opentelemetry import trace

tracer = trace.get_tracer("app")

def wsgi(environ, start_response):
    tracer.start_span(environ["PATH_INFO"]).end()
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]

async def asgi(scope, receive, send):
    tracer.start_span(scope["path"]).end()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
"""
_LAUNCH = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
_GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "2", "app:wsgi"]
SERVERS = {
    "gunicorn": _GUNICORN,
    "gunicorn, preloaded": [*_GUNICORN, "--preload"],
    "gunicorn, threads": [*_GUNICORN, "--worker-class", "gthread", "--threads", "4"],
    "uvicorn": ["-m", "uvicorn", "--port", "0", "--lifespan", "off", "app:asgi"],
}


@pytest.mark.parametrize("server", SERVERS)
def test_a14_a_web_server_delivers_every_request_and_stops_as_it_does_without_us(
    tmp_path: Path, receiver: Any, server: str
) -> None:
    """A14, A15. SIGTERM right after the last request; the log holds nothing of ours."""
    (tmp_path / "app.py").write_text(_APP)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TUPLETRACE_"))}
    process = subprocess.Popen(
        [sys.executable, "-c", _LAUNCH, sys.executable, *SERVERS[server]],
        cwd=tmp_path,
        env=clean
        | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
            "TUPLETRACE_EXIT_SECONDS": "60",
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    log = ""
    # Who is stopped while it starts is stopped badly, with us or without.
    ready = r"(Booting worker[\s\S]*){2}" if "gunicorn" in server else r"http://127"
    while not re.search(ready, log):
        line = process.stderr.readline()
        assert line, log
        log += line
    port = int(re.findall(r"http://127\.0\.0\.1:(\d+)", log)[0])
    asked = [f"/{number}" for number in range(20)]
    for path in asked:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("GET", path)
        assert connection.getresponse().status == 200
        connection.close()
    process.send_signal(signal.SIGTERM)
    log += process.communicate(timeout=120)[1]

    assert Counter(asked) == receiver.names
    assert process.returncode == (-signal.SIGTERM if server == "uvicorn" else 0)
    assert "tupletrace" not in log
    assert "Traceback" not in log
