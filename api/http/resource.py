"""The base class of all paths: a method for each HTTP verb, and a declaration of each verb.

The gate (api/http/gate.py) admits only declared operations and checks their scopes; api/http/openapi.py
describes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import falcon
import msgspec

from api.http import admission
from api.http.errors import STATUS_OF, Refused
from api.http.services import Services
from domain.access import Scope

JSON = falcon.MEDIA_JSON
MULTIPART = falcon.MEDIA_MULTIPART
MAX_BODY_BYTES = 1_048_576


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """The declaration of one verb on one path.

    A `public` verb needs neither a credential nor a session. With `changes_nothing` it counts as a read, even
    if the verb is POST. With `is_recorded` each use is recorded as a read of the audit trail.
    """

    summary: str
    media_type: str = JSON
    public: bool = False
    changes_nothing: bool = False
    is_recorded: bool = False
    max_body_bytes: int = MAX_BODY_BYTES


class Operation(Verb, frozen=True, kw_only=True):
    """One verb on one path of the API, as it is served and as the OpenAPI document describes it.

    `operation_id` replaces the id that follows from method and path (api/http/operation_ids.py). A credential
    needs `scope` or `or_scope`; if both are None, every credential is accepted. `body` and `query` are closed
    structs, decoded by `read_values` and `read_query`. `answer` is the type of the envelope's `data`, or of
    one item if `is_list`; None means null. It is used only for JSON. `other_media_types` are answers that a
    parameter or the header Accept selects. With `has_etag` answers have an ETag; with `answers_not_modified`
    the operation also supports If-None-Match. With `may_lag` the answer of a read comes from the read tables,
    and a write waits for them; both may have the header Pending-Position. With `may_create` the status of an
    answer is 201 instead of `status` if the operation created an object. With `registers_url` the server
    posts webhook messages to the `url` in the body. `errors` are the codes of api.http.errors.STATUS_OF in
    addition to those of every operation.
    """

    operation_id: str = ""
    description: str = ""
    roles: str = ""
    scope: Scope | None = None
    or_scope: Scope | None = None
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    body_media_type: str = JSON
    other_media_types: tuple[str, ...] = ()
    body_example: Any = None
    answer: Any = None
    answer_example: Any = None
    is_list: bool = False
    has_etag: bool = False
    answers_not_modified: bool = False
    may_lag: bool = False
    may_create: bool = False
    takes_if_match: bool = False
    registers_url: bool = False
    status: int = 200
    errors: tuple[str, ...] = ()

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes of which a credential needs one; empty if it needs none."""
        return tuple(scope for scope in (self.scope, self.or_scope) if scope is not None)


class Resource:
    """The base class of every path. A subclass defines `on_get`, `on_post`... and declares each of them.

    Paths of the API declare Operations, pages for people PageOperations (pages/common/page_operation.py).
    """

    operations: ClassVar[Mapping[str, Verb]] = {}
    declared_as: ClassVar[type[Verb]] = Operation  # `admit` checks only verbs of this type

    def __init__(self, services: Services) -> None:
        self.services = services

    def __init_subclass__(cls) -> None:
        """Define HEAD as GET; Falcon leaves out the body."""
        if hasattr(cls, "on_get"):
            cls.on_head = cls.on_get  # type: ignore[attr-defined]

    @classmethod
    def operation(cls, method: str) -> Verb | None:
        """The declaration of `method` on this path, or None if it is not allowed."""
        return cls.operations.get("GET" if method == "HEAD" else method)

    @classmethod
    def allow(cls) -> str:
        """The value of the Allow header."""
        methods = {*cls.operations, "OPTIONS"} | ({"HEAD"} if "GET" in cls.operations else set())
        return ", ".join(sorted(methods))

    def admit(
        self, req: falcon.Request, resp: falcon.Response, verb: Verb, params: Mapping[str, Any]
    ) -> None:
        """Authenticate the caller and check their scopes. Raises Refused, or answers instead of the
        operation."""
        if isinstance(verb, Operation) and not verb.public:
            admission.admit(self.services, req, resp, verb.scopes)

    def refuse_method(self, req: falcon.Request, resp: falcon.Response, params: Mapping[str, Any]) -> None:
        """Raise Refused with 405 for a method that is not declared."""
        message = f"This address does not support {req.method[:16]}."
        raise Refused("method_not_allowed", message, headers={"Allow": self.allow()})

    def on_options(self, req: falcon.Request, resp: falcon.Response, **params: str) -> None:
        resp.status = falcon.HTTP_204
        resp.set_header("Allow", self.allow())


class BadDeclaration(Exception):
    """The `operations` of a resource do not fit the resource. Raised when the process starts."""


def verify(resource: type[Resource]) -> None:
    """Raise BadDeclaration unless the class defines methods for exactly the declared operations.

    Each operation must be of the type that the class checks before it admits a request.
    """
    defined = {
        name.removeprefix("on_").upper()
        for name in dir(resource)
        if name.startswith("on_") and name not in ("on_head", "on_options")
    }
    if defined != set(resource.operations):
        raise BadDeclaration(
            f"{resource.__name__} defines {sorted(defined)} but declares {sorted(resource.operations)}"
        )
    for operation in resource.operations.values():
        if not isinstance(operation, resource.declared_as):
            raise BadDeclaration(
                f"{resource.__name__} must declare each verb as {resource.declared_as.__name__}"
            )
        if isinstance(operation, Operation) and (unknown := set(operation.errors) - STATUS_OF.keys()):
            raise BadDeclaration(f"{resource.__name__} declares unknown error codes {sorted(unknown)}")
