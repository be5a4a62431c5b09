"""A small disk, which only root can mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = 4_096


class SmallDisk:
    """A file system in memory at `path`, whose size can be changed while it is used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resize(self, pages: int) -> None:
        options = f"remount,size={pages * PAGE}"
        subprocess.run(["mount", "-o", options, str(self.path)], check=True)

    def used_pages(self) -> int:
        found = os.statvfs(self.path)
        return (found.f_blocks - found.f_bfree) * found.f_frsize // PAGE


@contextmanager
def small_disk(path: Path, pages: int) -> Iterator[SmallDisk]:
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "tmpfs", str(path)], check=True)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
