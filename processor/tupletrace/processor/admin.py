"""``POST /admin/...``: what only the owner of a database can do with it, for who has an admin token."""

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import duckdb
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tupletrace.processor import database, guard, snapshot
from tupletrace.processor.admission import Admission
from tupletrace.processor.database import StoreError
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.refusal import DiskReserve
from tupletrace.processor.store import Store

_logger: Final = logging.getLogger(__name__)
_PIECE: Final = 2**20


class Admin:
    """The routes, for one open database."""

    def __init__(self, path: Path, store: Store, admission: Admission) -> None:
        """Work on ``store``, which is the file at ``path``."""
        self._path, self._store, self._admission = path, store, admission
        self._copying = threading.Lock()
        self.routes: Final = [Route("/admin/snapshot", self._snapshot, methods=["POST"])]

    async def _snapshot(self, request: Request) -> Response:
        """Answer with a DuckDB file."""
        try:
            file = await run_in_threadpool(self._taken)
        except DiskReserve as error:
            return guard.refusal(request.scope, error)
        except (StoreError, OSError, duckdb.Error) as error:
            _logger.exception("no snapshot could be taken")
            return JSONResponse({"error": f"no snapshot could be taken: {database.first_line(error)}"}, 500)
        size = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
        return StreamingResponse(_pieces(file), 200, size, "application/octet-stream")

    def _taken(self) -> BinaryIO:
        """Return a snapshot whose file has no name any more: its room is given back whatever happens."""
        copy = self._path.with_name(self._path.name + ".copying")
        with self._copying:
            self._admission.check_disk(self._path.stat().st_size)
            try:
                snapshot.take(self._store, journal_folder(self._path), copy)
                return copy.open("rb", 0)
            finally:
                database.remove(copy)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
