"""The clock of the product's processes, which the rig can set."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """A clock that differs from the real one by a number of seconds. A C compiler makes the library for it;
    `is_own` is False without one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._library = folder / "clock.so"
        self.set(0)
        compiler = shutil.which("cc")
        self.is_own = compiler is not None
        if compiler is not None:
            command = [compiler, "-shared", "-fPIC", "-O2", "-o", self._library, _SOURCE, "-ldl"]
            subprocess.run(command, check=True)

    def set(self, seconds: int) -> None:
        """Step to that difference."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))

    def variables(self) -> dict[str, str]:
        """The environment of processes with this clock."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._file)} if self.is_own else {}
