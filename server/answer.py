"""The answer of the application to one request, which is written in as many steps as the client takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gunicorn.http.wsgi import FileWrapper, Response

from server.client_socket import ClientSocket


class Answer:
    """The answer of the application, from which pieces are still to be taken."""

    def __init__(self, response: Response, body: Any) -> None:
        self.response = response
        self._body = body
        self._pieces: Iterator[bytes] = iter(body)

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection tells the client that the answer is complete (HTTP/1.0)."""
        return not self.response.chunked and self.response.response_length is None

    def write(self, client: ClientSocket) -> bool:
        """Write pieces until the client takes no more at once; return whether the answer is complete."""
        is_file = isinstance(self._body, FileWrapper)
        if not (is_file and self.response.sendfile(self._body)):
            is_stream = not isinstance(self._body, (list, tuple))
            for piece in self._pieces:
                self.response.write(piece)
                if is_stream and not client.flush():
                    return False
        self.response.close()
        return True

    def close(self) -> None:
        if hasattr(self._body, "close"):
            self._body.close()


def honour_connection_close(application: Any) -> Any:
    """Make gunicorn close the connection if the application answers with `Connection: close`."""

    def wsgi_application(environ: dict[str, Any], start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if ("connection", "close") in headers:
                start_response.__self__.force_close()
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return wsgi_application
