"""The account of the embedded PostgreSQL when this process runs as root, as which PostgreSQL refuses to run.

The server runs under a user id without an entry in /etc/passwd, so no account is created and no other program
has its rights.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

_FREE_UID = 60_666  # 60,578 to 61,183 are not assigned by Linux distributions (systemd: users, groups, UIDs)


class Account(NamedTuple):
    """A user id and group id."""

    uid: int
    gid: int

    def options(self) -> dict[str, Any]:
        """The options with which subprocess starts a program under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Make this account the owner of the file or folder, and of everything in it."""
        os.chown(path, self.uid, self.gid)
        if path.is_dir():
            for each in path.rglob("*"):
                os.chown(each, self.uid, self.gid, follow_symlinks=False)


def server_account(data_dir: Path) -> Account | None:
    """The account of the server: the owner of the data directory, or a free user id for a new one. None
    unless this process runs as root."""
    if os.geteuid() != 0:
        return None
    if data_dir.exists():
        found = data_dir.stat()
        return Account(found.st_uid, found.st_gid)
    uid = _FREE_UID
    while _is_known(uid):
        uid += 1
    return Account(uid, uid)


def creating_account(account: Account) -> Account:
    """The account for initdb, which requires an entry in /etc/passwd: `nobody`, or any other but root."""
    entries = sorted(pwd.getpwall(), key=lambda entry: entry.pw_name != "nobody")
    return next((Account(entry.pw_uid, entry.pw_gid) for entry in entries if entry.pw_uid), account)


def permit_access(
    accounts: Iterable[Account], folders: Iterable[Path], programs: Path, announce: Callable[[str], None]
) -> None:
    """Permit every user to enter (not list) the folders that the accounts cannot enter, and to read the files
    of `programs`. Announces the changes before it makes them; usually none is needed."""
    users = set(accounts)
    closed = [path for path in dict.fromkeys(folders) if not _is_open(path, users)]
    files = [] if _is_open(programs / "bin" / "postgres", users) else [programs, *programs.rglob("*")]
    if not closed and not files:
        return
    names = ", ".join(str(path) for path in (*closed, *files[:1]))
    announce(
        f"PostgreSQL does not run as root, and the user id under which it runs cannot enter {names}."
        " Permission to enter (chmod o+x) is now added. To avoid that, run this command as another user, move"
        " TICKETING_HOME and the installation to folders that all users can enter, or set DATABASE_URL."
    )
    for path in closed:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IXOTH)
    for path in files:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IROTH | stat.S_IXOTH)


def _is_open(path: Path, users: Iterable[Account]) -> bool:
    """Whether all the users may enter the folder, or execute the file."""
    found = path.stat()

    def needed(user: Account) -> int:
        if user.uid == found.st_uid:
            return stat.S_IXUSR
        return stat.S_IXGRP if user.gid == found.st_gid else stat.S_IXOTH

    return all(found.st_mode & needed(user) for user in users)


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
