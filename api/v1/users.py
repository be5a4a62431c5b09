"""/v1/users: people, their roles and the properties they belong to."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import falcon
import msgspec

from api.http.bodies import read_values, respond
from api.http.errors import Refused
from api.http.etags import etag, expected_versions, respond_if_modified
from api.http.paging import ListQuery, respond_with_page, slice_of
from api.http.pending_changes import wait_until_shown
from api.http.queries import NoQuery, convert_query, read_query
from api.http.resource import Operation, Resource
from api.http.services import Services
from api.v1 import examples
from api.v1.shapes import user_detail
from commands.erasure import erase_user
from commands.one_time_links import issue_link, link_url
from commands.users import NewUser, UserChanges, change_user, register_user
from domain.access import Caller, Role
from domain.errors import NotFound
from domain.text import ExternalIdFilter, Id, SearchText
from domain.times import whole_seconds
from domain.user import User
from projections.properties import property_names
from projections.users import UserQuery, get_user, list_users
from projections.views import UserDetail, UserSummary

EXTERNAL_IDS = "`external_ids` are not encrypted in the log: use ids that name nobody."
PREFERENCES = "`preferences.notifications` is only stored: this system sends no e-mail or text messages."


class UserListQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: tuple[Role, ...] = ()
    property_id: tuple[Id, ...] = ()
    active: bool | None = None
    external_id: ExternalIdFilter = ()
    q: SearchText | None = None


class Users(Resource):
    """Lists and registers users."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="List users",
            description="Filters with a list take several values, separated by commas or in repeated"
            " parameters. `q` finds people by the beginnings of the words of their names and addresses,"
            " without regard to case and accents; only managers and above may use it. `active=false` finds"
            " deactivated people.",
            roles="staff and above, for the people of their properties and themselves",
            scope="users:read",
            may_lag=True,
            query=UserListQuery,
            answer=UserSummary,
            answer_example=[examples.USER],
            is_list=True,
            errors=("forbidden",),
        ),
        "POST": Operation(
            summary="Register a user",
            description="The e-mail address must be unique, without regard to case. So must the id of each"
            f" source in `external_ids`. {EXTERNAL_IDS} {PREFERENCES}",
            roles="manager and above, for people whose role and properties do not exceed the caller's",
            scope="users:write",
            may_lag=True,
            body=NewUser,
            body_example=examples.NEW_USER,
            answer=UserDetail,
            answer_example=examples.USER_DETAIL,
            has_etag=True,
            status=201,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        caller.require("staff", "list users")
        query = read_query(req, UserListQuery)
        if query.q is not None:
            caller.require("manager", "search for users")
        part = slice_of(query, self.services.signing_key)
        page = list_users(
            self.services.read_pool,
            caller,
            convert_query(query, UserQuery, after=part.after, count=part.count),
        )
        respond_with_page(req, resp, page, query, self.services)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        values, context = read_values(req, NewUser), req.context.command()
        user = register_user(self.services.store, values, context)
        resp.location = f"{self.services.settings.base_url}/v1/users/{user.id}"
        respond_with_user(req, resp, self.services, user, context.caller, status=201)


class UserItem(Resource):
    """One person."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read a user",
            description="`phone` and `preferences` are null if staff read another person.",
            roles="all, for themselves; staff and above, for the people of their properties",
            scope="users:read",
            may_lag=True,
            query=NoQuery,
            answer=UserDetail,
            answer_example=examples.USER_DETAIL,
            has_etag=True,
            answers_not_modified=True,
        ),
        "PATCH": Operation(
            summary="Change a user",
            description="Absent fields stay as they are; `null` clears the phone. `property_ids` and"
            f" `preferences` are replaced as a whole. {PREFERENCES} `active: false` deactivates a person who"
            " leaves: they cannot sign in, their keys and tokens are refused with 401, and no ticket can be"
            " assigned to them; their name stays. `active: true` reverses that. Nobody can deactivate"
            " themselves (403) or the last active admin (409). A taken e-mail address or external id"
            f" is 409 too. `external_ids` changes the given sources only. {EXTERNAL_IDS}",
            roles="manager and above, for people whose role and properties, before and after the change, do"
            " not exceed the caller's",
            scope="users:write",
            may_lag=True,
            body=UserChanges,
            body_example=examples.USER_CHANGES,
            answer=UserDetail,
            answer_example=examples.USER_DETAIL,
            has_etag=True,
            takes_if_match=True,
            errors=("forbidden", "conflict"),
        ),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        caller = req.context.caller
        row = get_user(self.services.read_pool, user_id)
        if row is None or not caller.may_see_user(user_id, row.property_ids):
            raise NotFound("user")
        read_query(req, NoQuery)
        respond_if_modified(req, resp, visible_detail(caller, row.detail), version=row.version)

    def on_patch(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        values = read_values(req, UserChanges)
        expected, context = expected_versions(req), req.context.command()
        user = change_user(self.services.store, user_id, values, context, expected)
        respond_with_user(req, resp, self.services, user, context.caller)


class OwnUser(Resource):
    """The person to whom the credential belongs."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Read the user of the key",
            operation_id="getCurrentUser",
            description="Returns the person for whom the key or token acts, with phone and preferences. A key"
            " that belongs to no person gets 404.",
            roles="all",
            scope="users:read",
            may_lag=True,
            query=NoQuery,
            answer=UserDetail,
            answer_example=examples.USER_DETAIL,
            has_etag=True,
            answers_not_modified=True,
            errors=("not_found",),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        row = None if caller.user_id is None else get_user(self.services.read_pool, caller.user_id)
        if row is None:
            raise Refused("not_found", "This key belongs to no user.")
        read_query(req, NoQuery)
        respond_if_modified(req, resp, visible_detail(caller, row.detail), version=row.version)


class OneTimeLink(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is the address of a page on which the person sets a password. It is shown only here."""

    url: str
    expires_at: datetime


class UserLink(Resource):
    """Makes a link with which a person sets a password."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Make a one-time link for a user",
            operation_id="createOneTimeLink",
            description="Returns the address of a page on which the person sets a password. It is valid for"
            " 24 hours and for one use, and is not shown again. A new link makes the earlier one invalid; so"
            " does a new password, role or list of properties, and a deactivation. The key needs every scope,"
            " because the person can use all of them after signing in. A body is ignored.",
            roles="manager and above, for other people whose role and properties do not exceed the caller's",
            scope="users:write",
            may_lag=True,
            answer=OneTimeLink,
            answer_example=examples.ONE_TIME_LINK,
            status=201,
            errors=("forbidden", "conflict"),
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        issued = issue_link(self.services.store, user_id, req.context.command())
        wait_until_shown(req, resp, self.services, issued.user.position)
        req.context.answer_is_secret = True
        url = link_url(self.services.settings.base_url, issued.secret)
        respond(resp, OneTimeLink(url=url, expires_at=whole_seconds(issued.expires_at)), status=201)


class UserErasure(Resource):
    """Erases a person."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Erase a user",
            description="Destroys the key that encrypts the name, e-mail address and phone in the log, in"
            " every backup and in Kafka; deletes other copies of them; revokes the person's keys and ends"
            " their sessions. Their actions and assignments stay under their id. This cannot be undone. It"
            " changes nothing if the user is erased already. A body is ignored.",
            roles="admin, for people whose role and properties do not exceed the caller's",
            scope="users:write",
            may_lag=True,
            answer=UserDetail,
            answer_example=examples.ERASED_USER,
            has_etag=True,
            errors=("forbidden", "conflict"),
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        context = req.context.command()
        user = erase_user(self.services.store, user_id, context)
        respond_with_user(req, resp, self.services, user, context.caller)


def visible_detail(caller: Caller, detail: UserDetail) -> UserDetail:
    """The detail without the properties and private fields that this caller may not see."""
    detail.properties = [place for place in detail.properties if caller.reaches(place.id)]
    if not caller.sees_private_fields_of(detail.id):
        detail.phone = detail.preferences = None
    return detail


def respond_with_user(
    req: falcon.Request,
    resp: falcon.Response,
    services: Services,
    user: User,
    caller: Caller,
    *,
    status: int = 200,
) -> None:
    """Wait until the read tables show the change, and answer with the user."""
    wait_until_shown(req, resp, services, user.position)
    resp.etag = etag(user.version)
    detail = user_detail(user, property_names(services.pool, user.property_ids))
    respond(resp, visible_detail(caller, detail), status=status)
