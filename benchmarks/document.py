"""Puts the tables that were printed last into docs/reference/performance.md: `python -m benchmarks.document`.

The document has a place for each part, between `<!-- begin PART -->` and `<!-- end PART -->`. The plots are
copied to docs/reference/plots.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from benchmarks.bench import RESULTS

DOCUMENT = Path("docs") / "reference" / "performance.md"
PLOTS = DOCUMENT.parent / "plots"
_PLACE = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def main() -> None:
    DOCUMENT.write_text(fill(DOCUMENT.read_text(), RESULTS, PLOTS))


def fill(text: str, results: Path, plots: Path) -> str:
    """The document with the tables of the parts that have results; other places stay as they are."""

    def replace(place: re.Match[str]) -> str:
        part = place[2]
        if not (results / f"{part}.md").exists():
            return place[0]
        run = json.loads((results / f"{part}.json").read_text())
        where = f"Measured on {run['at'][:10]}, commit {run['commit']}, {run['processors']} processors.\n\n"
        pictures = sorted(results.glob(f"{part}-*.svg"))
        plots.mkdir(exist_ok=True)
        for picture in pictures:
            shutil.copy(picture, plots / picture.name)
        shown = "".join(f"\n![{part}]({plots.name}/{picture.name})\n" for picture in pictures)
        return f"{place[1]}\n{where}{(results / f'{part}.md').read_text()}{shown}\n{place[3]}"

    return _PLACE.sub(replace, text)


if __name__ == "__main__":
    main()
