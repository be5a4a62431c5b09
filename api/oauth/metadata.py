"""Metadata for client libraries: of the authorization server (RFC 8414) and of the API (RFC 9728)."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.bodies import encode
from api.http.resource import Operation, Resource
from domain.access import SCOPES
from domain.oauth_client import GRANT_TYPES

_WITH_SECRET = ["client_secret_basic", "client_secret_post"]


class ResourceMetadata(Resource):
    """Describes the API as a protected resource. Challenges (WWW-Authenticate) name its address."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="The authorization server and the scopes of the API", public=True)
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        base_url = self.services.settings.base_url
        resp.set_header("Cache-Control", "max-age=300")
        resp.data = encode(
            {
                "resource": base_url,
                "authorization_servers": [base_url],
                "scopes_supported": SCOPES,
                "bearer_methods_supported": ["header"],
                "resource_name": "Modern Management Ticketing System API",
                "resource_documentation": f"{base_url}/docs",
            }
        )


class Metadata(Resource):
    """Describes the authorization server."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(summary="The OAuth 2.0 endpoints and their features", public=True)
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        base_url = self.services.settings.base_url
        resp.set_header("Cache-Control", "max-age=300")
        resp.data = encode(
            {
                "issuer": base_url,
                "authorization_endpoint": f"{base_url}/oauth/authorize",
                "token_endpoint": f"{base_url}/oauth/token",
                "revocation_endpoint": f"{base_url}/oauth/revoke",
                "introspection_endpoint": f"{base_url}/oauth/introspect",
                "scopes_supported": SCOPES,
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": GRANT_TYPES,
                "token_endpoint_auth_methods_supported": [*_WITH_SECRET, "none"],
                "revocation_endpoint_auth_methods_supported": [*_WITH_SECRET, "none"],
                "introspection_endpoint_auth_methods_supported": _WITH_SECRET,
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "service_documentation": f"{base_url}/docs",
            }
        )
