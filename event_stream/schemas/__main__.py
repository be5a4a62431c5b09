"""`python -m event_stream.schemas`: write the files anew, unless that would break a promise."""

from __future__ import annotations

import sys

from event_stream.schemas import FOLDER, breaking_changes, checked_in, generated


def main() -> int:
    """Exit code 1, with nothing written, when a schema that is checked in would be broken."""
    if problems := breaking_changes(checked_in()):
        sys.stderr.write("Not additive; add a field with a default, or a new event, instead:\n")
        sys.stderr.writelines(f"  {problem}\n" for problem in problems)
        return 1
    for name, content in generated().items():
        path = FOLDER / name
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            sys.stdout.write(f"{path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
