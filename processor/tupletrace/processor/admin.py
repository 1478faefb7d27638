"""``POST /admin/...``: what only the owner of a database can do with it, for who has an admin token."""

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import duckdb
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tupletrace.processor import body, database, guard, jobs, snapshot
from tupletrace.processor.admission import Admission
from tupletrace.processor.dropping import Place
from tupletrace.processor.index import Job
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.limits import Limits
from tupletrace.processor.refusal import DiskReserve, Refused
from tupletrace.processor.schema import StoreError
from tupletrace.processor.store import Store

_logger: Final = logging.getLogger(__name__)
_PIECE: Final = 2**20
_POLL_S: Final = 0.05


class Admin:
    """The routes, for one open database."""

    def __init__(self, place: Place, admission: Admission, run: Callable[[Job[Any]], Future[Any]]) -> None:
        """Work on ``place``; ``run`` lets a job make its steps between those of the index."""
        self._place, self._admission, self._run = place, admission, run
        self._copying = threading.Lock()
        self._copy = place.path.with_name(place.path.name + ".copying")
        # Of one that was killed.
        database.remove(self._copy)
        self.routes: Final = [
            Route("/admin/snapshot", self._snapshot, methods=["POST"]),
            *(Route(f"/admin/{name}", partial(self._job, name), methods=["POST"]) for name in jobs.NAMES),
        ]

    async def _job(self, name: str, request: Request) -> Response:
        """Answer with lines of JSON: how far it is (``done``, ``total``), then ``result`` or ``error``."""
        if guard.media_type(request.headers) != guard.JSON:
            return JSONResponse({"error": f"send {guard.JSON}: the arguments of {name}, or {{}}"}, 415)
        try:
            with self._admission.hold() as held:
                said = json.loads(await body.read(request, Limits(), held) or b"{}")
            order = jobs.order(name, {key: str(value) for key, value in said.items() if value})
        except Refused as error:
            return guard.refusal(request.scope, error)
        except (ValueError, AttributeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        done = self._run(order(self._place, lambda at, of: lines.put({"done": at, "total": of})))
        done.add_done_callback(lambda _: lines.put(None))
        return StreamingResponse(_lines(lines, done), 200, None, "application/x-ndjson")

    async def _snapshot(self, request: Request) -> Response:
        """Answer with a DuckDB file."""
        try:
            file = await run_in_threadpool(self._taken)
        except DiskReserve as error:
            return guard.refusal(request.scope, error)
        except (StoreError, OSError, duckdb.Error) as error:
            _logger.warning("no snapshot could be taken: %s", database.first_line(error))
            return JSONResponse({"error": f"no snapshot could be taken: {database.first_line(error)}"}, 500)
        size = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
        return StreamingResponse(_pieces(file), 200, size, "application/octet-stream")

    def _taken(self) -> BinaryIO:
        """Return a snapshot whose file has no name any more: its room is given back whatever happens."""
        path, store, copy = self._place.path, self._place.store, self._copy
        with self._copying:
            self._admission.check_disk(path.stat().st_size)
            try:
                snapshot.take(store, journal_folder(path), copy, lambda: self._run(_holding(store)).result())
                return copy.open("rb", 0)
            finally:
                database.remove(copy)


def _lines(lines: "queue.SimpleQueue[dict[str, Any] | None]", done: "Future[jobs.Answer]") -> Iterator[bytes]:
    while (line := lines.get()) is not None:
        yield json.dumps(line).encode() + b"\n"
    try:
        said = {"result": done.result()}
    except Exception as error:
        if not isinstance(error, StoreError):
            _logger.exception("a job failed")
        said = {"error": database.first_line(error)}
    yield json.dumps(said).encode() + b"\n"


def _holding(store: Store) -> Job[Path]:
    yield
    while (held := store.hold()) is None:
        time.sleep(_POLL_S)
        yield
    return held


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
