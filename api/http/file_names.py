"""The names of files, as clients upload them and as Content-Disposition sends them."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from domain.text import is_visible

MAX_CHARACTERS = 255
_REMOVED_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")  # controls, surrogates, line and paragraph separators
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# A path of Windows: it begins with a drive or a folder, or contains `..`.
_WINDOWS_PATH = re.compile(r"[A-Za-z]:\\|(?:.*\\)?\.{0,2}\\", re.DOTALL)
_ATTR_CHARACTERS = "!#$&+-.^_`|~"  # with letters and digits, those that filename* need not encode (RFC 8187)


def clean_file_name(given: str) -> str:
    """The name without folders, controls and characters that change the direction of text; "" if nothing
    visible is left.

    All other characters stay: every kind of space, and the joiners and variation selectors of scripts and
    emoji. Browsers send a quotation mark as %22 (HTML, multipart/form-data encoding).
    """
    name = given.replace("%22", '"').rpartition("/")[2]
    if _WINDOWS_PATH.match(name):
        name = name.rpartition("\\")[2]
    name = "".join(character for character in name if not _is_removed(character)).strip()
    return name[-MAX_CHARACTERS:] if is_visible(name.replace(".", "")) else ""


def disposition_of(name: str) -> str:
    """The Content-Disposition of a download (RFC 6266).

    Names with other characters than ASCII, or with a character that clients read in different ways, are also
    sent as `filename*` (RFC 8187), which clients prefer.
    """
    plain = "".join(character if " " <= character <= "~" else "_" for character in name)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    disposition = f'attachment; filename="{quoted}"'
    if plain == name and not set('"\\%') & set(name):
        return disposition
    return f"{disposition}; filename*=UTF-8''{quote(name, safe=_ATTR_CHARACTERS)}"


def _is_removed(character: str) -> bool:
    return unicodedata.category(character) in _REMOVED_CATEGORIES or character in _BIDI_CONTROLS
