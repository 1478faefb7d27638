"""Runs the endpoint: in a thread for tests and the demo, or as a process of its own."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn

from .app import Seen, build


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint."""

    base_url: str
    """What ``OPENAI_BASE_URL`` must say."""
    requests: Seen = field(default_factory=Seen)
    """Path and body of every request, in order."""
    api_key: str = "sk-demo"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()


def listen(port: int) -> socket.socket:
    """A listening socket on this machine; port 0 takes any free one."""
    return socket.create_server(("127.0.0.1", port))


def server(seen: Seen) -> _Server:
    """A quiet server of the endpoint."""
    return _Server(
        uvicorn.Config(build(seen), log_level="warning", lifespan="off", timeout_graceful_shutdown=2)
    )


@contextmanager
def serve(port: int = 0) -> Generator[Endpoint]:
    """Run the endpoint in a thread until the block ends."""
    with listen(port) as sock:
        endpoint = Endpoint(base_url=url(sock))
        running = server(endpoint.requests)
        thread = threading.Thread(target=running.run, args=([sock],), name="demo-endpoint", daemon=True)
        thread.start()
        try:
            if not running.answering.wait(timeout=10):
                raise RuntimeError("the endpoint did not start within 10 seconds")
            yield endpoint
        finally:
            running.should_exit = True
            thread.join()


def url(sock: socket.socket) -> str:
    """The base URL that a client of this socket needs."""
    return f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
