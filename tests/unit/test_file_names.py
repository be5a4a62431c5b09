"""Names of files: what is kept of an uploaded name, and how a download sends it."""

import sys
import unicodedata
from email.message import Message
from urllib.parse import unquote

import pytest

from api.http.file_names import clean_file_name, disposition_of

ALL = range(sys.maxunicode + 1)
NAMES = [
    "leak.jpg",
    'say "hi" 100%.txt',
    "back\\slash.txt",
    '"',
    "Dach läuft 漏水 🚿.jpg",
    "Screenshot 2026-01-01 at 3.04.05\u202fPM.png",
    "no\u00a0break\u3000wide\u2009thin.txt",
    "family 👨\u200d👩\u200d👧 ❤\ufe0f.png",
    "می\u200cخواهم.pdf",
    "a;b=c, d'e*f(g).txt",
]


def name_in(disposition):
    """The name that a client reads: filename* if there is one, otherwise filename (RFC 6266 section 4.3)."""
    _, _, extended = disposition.partition("; filename*=UTF-8''")
    if extended:
        return unquote(extended)
    message = Message()
    message["Content-Disposition"] = disposition
    return message.get_filename()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_same_after_upload_and_download(name):
    disposition = disposition_of(clean_file_name(name))

    assert name_in(disposition) == name
    assert disposition.startswith("attachment; ")
    assert disposition.isascii()
    assert disposition.isprintable()


def test_a_quotation_mark_and_a_backslash_are_escaped_for_clients_without_extended_parameters():
    assert disposition_of('a"b\\c.txt') == (
        'attachment; filename="a\\"b\\\\c.txt"; filename*=UTF-8\'\'a%22b%5Cc.txt'
    )
    assert disposition_of("plain (1).txt") == 'attachment; filename="plain (1).txt"'


def test_every_printable_character_and_every_space_is_kept():
    spaces = [code for code in ALL if unicodedata.category(chr(code)) == "Zs"]
    kept = [code for code in ALL if chr(code).isprintable() and chr(code) != "/"] + spaces

    for start in range(0, len(kept), 200):
        name = f"a{''.join(map(chr, kept[start : start + 200]))}b.txt"
        assert clean_file_name(name) == name, hex(kept[start])


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("C:\\Users\\me\\leak.jpg", "leak.jpg"),
        ("\\\\server\\share\\leak.jpg", "leak.jpg"),
        ("..\\..\\leak.jpg", "leak.jpg"),
        ("a\\..\\leak.jpg", "leak.jpg"),
        ("folder/leak.jpg", "leak.jpg"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("a\r\n\0\x1b\u2028b.txt", "ab.txt"),
        ("%22a%22.txt", '"a".txt'),
        ("...", ""),
        ("\u200b.\u3164", ""),
    ],
)
def test_folders_and_controls_are_removed(sent, kept):
    assert clean_file_name(sent) == kept
