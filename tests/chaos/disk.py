"""Disks of the rig's own, which become full without writing to them: file systems in memory with a limit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

GIGABYTE = 1024**3


class Disk:
    """A file system at `folder`, which only root can mount. Without root the folder is on the common
    disk, and `is_own` is False."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self.is_own = os.geteuid() == 0
        self._size_bytes = size_bytes
        folder.mkdir(parents=True)
        if self.is_own:
            self._mount("-t", "tmpfs", "-o", f"size={size_bytes},mode=755", "tmpfs")

    def fill(self, left_bytes: int) -> None:
        """Leave only that much free space."""
        used = os.statvfs(self.folder)
        occupied_bytes = (used.f_blocks - used.f_bfree) * used.f_frsize
        self._resize(occupied_bytes + left_bytes)

    def empty(self) -> None:
        """Make the space free again."""
        self._resize(self._size_bytes)

    def close(self) -> None:
        if self.is_own:
            subprocess.run(["umount", "--lazy", self.folder], check=False)

    def _resize(self, size_bytes: int) -> None:
        self._mount("-o", f"remount,size={max(size_bytes, 4_096)}")

    def _mount(self, *options: str) -> None:
        done = subprocess.run(["mount", *options, self.folder], capture_output=True, text=True, check=False)
        if done.returncode != 0 and "remount" not in str(options):
            raise OSError(f"mount failed: {done.stderr}")
        if done.returncode != 0:  # the disk has grown meanwhile: it is as full
            subprocess.run(["mount", *options, self.folder], capture_output=True, check=False)
