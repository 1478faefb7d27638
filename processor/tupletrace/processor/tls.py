"""TLS and mutual TLS of both transports from PEM files, which are read again when they change."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc


class TlsUnusable(RuntimeError):
    """A certificate or key that cannot be used."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the server's certificate with its chain, and its key; clients need one of ``client_ca``."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """Raise ``TlsUnusable`` unless a server could be started with these files."""
        try:
            self.context()
        except (OSError, ValueError) as error:
            # An SSLError does not say which file.
            files = ", ".join(str(file) for file in (self.certificate, self.key, self.client_ca) if file)
            raise TlsUnusable(f"TLS cannot be set up from {files}: {error}") from None

    def context(self) -> ssl.SSLContext:
        """Return what an HTTP server needs."""
        return _Renewed(self)

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a gRPC server needs."""
        changed = self.changed()

        def renewed() -> Any:
            return self._grpc() if changed() else None

        return grpc.dynamic_ssl_server_credentials(self._grpc(), renewed, self.client_ca is not None)

    def load(self, context: ssl.SSLContext) -> None:
        """Put the files as they are now into a context."""
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_ca)

    def _grpc(self) -> Any:
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration(
            [pair], self.client_ca.read_bytes() if self.client_ca else None
        )

    def changed(self) -> Callable[[], bool]:
        """Return a function that says whether a file is another since it was asked last."""
        files = [file for file in (self.certificate, self.key, self.client_ca) if file]
        seen = [file.stat().st_mtime_ns for file in files]

        def changed() -> bool:
            nonlocal seen
            try:
                now = [file.stat().st_mtime_ns for file in files]
            except OSError:
                return False
            before, seen = seen, now
            return now != before

        return changed


class _Renewed(ssl.SSLContext):
    """Looks at the files before each handshake."""

    def __new__(cls, tls: Tls) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, tls: Tls) -> None:
        self._tls, self._is_other = tls, tls.changed()
        tls.load(self)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        if self._is_other():
            # Half written: the old ones serve until they change again.
            with suppress(OSError, ValueError):
                self._tls.load(self)
        return super().wrap_bio(*args, **kwargs)
