"""gunicorn's parser and its answers, without the work that has the same result for every request.

Which requests are refused, and what an answer may contain, stays gunicorn's decision.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from gunicorn.config import Config
from gunicorn.http import message, parser, wsgi
from gunicorn.util import is_hoppish


class Options(SimpleNamespace):
    """The values of gunicorn's options. A request looks up about thirty of them, each of which gunicorn
    computes again."""

    def __init__(self, cfg: Config) -> None:
        values = {name: getattr(cfg, name) for name in cfg.settings}
        super().__init__(**values, is_ssl=cfg.is_ssl)


class Request(message.Request):  # type: ignore[misc]
    """A request whose client is not trusted to set the scheme: `forwarded_allow_ips` is empty."""

    def _peer_is_trusted_proxy(self) -> bool:
        return False


class RequestParser(parser.RequestParser):  # type: ignore[misc]
    """Parses one complete request at a time (server/reception.py), without gunicorn's checks between them."""

    _repeated: Request | None = None

    def repeat(self, request: Request) -> None:
        """Return this request once more, instead of parsing the next one."""
        self._repeated = request

    def __next__(self) -> Request:
        if self._repeated is not None:
            self.mesg, self._repeated = self._repeated, None
            return self.mesg
        self.req_count += 1
        self.mesg = Request(self.cfg, self.unreader, self.source_addr, self.req_count)
        return self.mesg


class Response(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response, which checks each name of a header once."""

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            if _is_plain(name) and isinstance(value, str) and wsgi.HEADER_VALUE_RE.fullmatch(value):
                self.headers.append((name, value.strip(" \t")))
            else:
                super().process_headers([(name, value)])


@lru_cache(maxsize=256)
def _is_plain(name: str) -> bool:
    """Whether a header with that valid name has no meaning for the server."""
    is_valid = isinstance(name, str) and message.TOKEN_RE.fullmatch(name) is not None
    return is_valid and name.lower() != "content-length" and not is_hoppish(name)


def create(req: Request, conn: Any) -> tuple[Response, dict[str, Any]]:
    """The response to a request, and its WSGI environment."""
    response, environ = wsgi.create(
        req, conn.sock, conn.client, conn.server, conn.cfg, response_class=Response
    )
    environ["wsgi.multithread"] = True
    return response, environ
