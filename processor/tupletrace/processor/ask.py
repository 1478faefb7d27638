"""One way to ask a database, whether a processor is running on it or not."""

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

import duckdb
import pyarrow as pa

from tupletrace.processor import index, journal, query
from tupletrace.processor.database import needs_reconnect
from tupletrace.processor.journal import journal_folder
from tupletrace.processor.lock import DatabaseInUse, DatabaseLock
from tupletrace.processor.schema import StoreError
from tupletrace.processor.store import Store

_TIMEOUT_S: Final = query.MAX_SECONDS + 10
_T = TypeVar("_T")


class Ask(Protocol):
    """Answers one query; parameters are bound to ``$1``, ``$2`` … or, by name, to ``$name``."""

    def __call__(self, sql: str, parameters: query.Parameters = None) -> pa.Table:
        """Return the whole answer.

        Raises:
            query.SqlRefused, query.SqlFailed, StoreError: with a message for who wrote the SQL.
        """
        ...


def expect(path: Path) -> None:
    """Raise ``StoreError`` if there is no database, nor a journal to make it from."""
    if not path.exists() and not journal.files(journal_folder(path)):
        raise StoreError(f"there is no database at {path}: start `tupletrace serve`, or name another --db")


@contextmanager
def database(path: Path) -> Generator[Ask]:
    """Yield a function that answers SQL: from the file, or from the processor that has it open.

    Raises:
        StoreError: there is no such database, or it cannot be opened.
    """
    expect(path)
    try:
        lock = DatabaseLock(path)
    except DatabaseInUse as error:
        yield Processor.of(error).sql
        return
    with lock:
        store = Store(path)

        def caught_up() -> None:
            # A processor that was killed may have left requests that only the journal has.
            index.catch_up(journal_folder(path), store)
            # Nothing can come while nobody receives.
            store.settle(0)

        def answer(sql: str, parameters: query.Parameters = None) -> pa.Table:
            with store.cursor() as cursor:
                return query.run(cursor, sql, parameters)

        def healed(step: Callable[[], _T]) -> _T:
            try:
                return step()
            except (duckdb.Error, query.SqlFailed) as error:
                if not needs_reconnect(error):
                    raise
                store.recover(error)
                caught_up()
                return step()

        try:
            healed(caught_up)
            yield lambda sql, parameters=None: healed(lambda: answer(sql, parameters))
        finally:
            store.close()


class ProcessorRefused(StoreError):
    """A processor did not do what it was asked for; the message is its own."""

    def __init__(self, error: urllib.error.HTTPError) -> None:
        self.http, self.headers = error.code, error.headers
        try:
            super().__init__(str(json.loads(error.read())["error"]))
        except (ValueError, KeyError, TypeError):
            super().__init__(f"HTTP {error.code} {error.reason}")


class Processor:
    """A running processor, asked over HTTP."""

    def __init__(self, url: str, token: str | None = None, certificate: str | None = None) -> None:
        """Send ``token``, else that of ``TUPLETRACE_TOKEN``; trust only ``certificate``, if that is given."""
        self.url = url.rstrip("/")
        token = token or os.environ.get("TUPLETRACE_TOKEN")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._opener = _opener(certificate)

    @classmethod
    def of(cls, in_use: DatabaseInUse) -> Self:
        """Return the one that has a database open.

        Raises:
            StoreError: that process answers no requests.
        """
        owner = in_use.owner
        if owner.http is None:
            raise StoreError(f"{in_use}, which answers no SQL")
        scheme = "https" if owner.certificate else "http"
        return cls(f"{scheme}://{owner.http}", owner.token, owner.certificate)

    def post(
        self,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout: float | None = _TIMEOUT_S,
    ) -> http.client.HTTPResponse:
        """Return the answer to a request, whose body is still to be read.

        Raises:
            ProcessorRefused: with what the processor says.
            StoreError: nobody answers.
        """
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked where the URL comes in
            f"{self.url}{path}", body, self._headers | dict(headers or {})
        )
        try:
            return self._opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            raise ProcessorRefused(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._silent(getattr(error, "reason", error)) from None

    def sql(self, sql: str, parameters: query.Parameters = None) -> pa.Table:
        """Answer one query, as ``Ask`` does."""
        body = {"sql": sql} | ({"params": parameters} if parameters else {})
        headers = {"Content-Type": "application/json", "Accept": query.ARROW}
        try:
            with self.post("/sql", json.dumps(body, default=str).encode(), headers) as response:
                reader = pa.ipc.open_stream(response)
                return query.whole(reader.schema, reader)
        except ProcessorRefused as error:
            raise query.SqlFailed(str(error)) from None
        except (OSError, http.client.HTTPException, pa.ArrowInvalid) as error:
            raise self._silent(error) from None

    def admin(self, job: str, arguments: Mapping[str, str], progress: Callable[[int, int], None]) -> Any:
        """Let the processor do a job of `jobs.order`, and return its answer.

        Raises:
            ProcessorRefused, StoreError: it is not done.
        """
        headers = {"Content-Type": "application/json"}
        try:
            with self.post(f"/admin/{job}", json.dumps(arguments).encode(), headers, None) as response:
                for line in map(json.loads, response):
                    if "error" in line:
                        raise StoreError(line["error"])
                    if "result" in line:
                        return line["result"]
                    progress(line["done"], line["total"])
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._silent(error) from None
        raise self._silent("it ended before it was done")

    def _silent(self, why: object) -> StoreError:
        return StoreError(f"no processor answers at {self.url}: {why}")


def _opener(certificate: str | None) -> urllib.request.OpenerDirector:
    # Never through a proxy of the environment, which knows nothing of this machine's ports.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if certificate is not None:
        context = ssl.create_default_context(cafile=certificate)
        # It is known by itself, whatever names and whichever authority stand in it.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)
