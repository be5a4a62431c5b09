"""`python -m event_stream.schemas`: writes the schema files, unless a change would break consumers."""

from __future__ import annotations

import sys

from event_stream.schemas import FOLDER, breaking_changes, generate_files, read_schemas


def main() -> int:
    """Write the files that differ. If a change would break consumers, write none and return exit code 1."""
    if problems := breaking_changes(read_schemas()):
        sys.stderr.write(
            "These changes break consumers. Add a field with a default or a new event instead:\n"
        )
        sys.stderr.writelines(f"  {problem}\n" for problem in problems)
        return 1
    for name, content in generate_files().items():
        path = FOLDER / name
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            sys.stdout.write(f"{path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
