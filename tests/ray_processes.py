"""Processes that Ray starts, as the kernel tells of them: who they are, and where they listen."""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path

PROC = Path("/proc")


def descendants(root: int) -> set[int]:
    """All processes that one has started, and those have, as long as they live."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def name_of(process: int) -> str:
    """Its command; empty where it is gone, or only waits to be buried."""
    try:
        state = (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[0]
        words = (PROC / str(process) / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""
    return "" if state == "Z" else words.strip()


def listens(processes: set[int]) -> set[str]:
    """The addresses, `host:port`, at which some processes wait for others."""
    inodes = set()
    for process in processes:
        try:
            for link in (PROC / str(process) / "fd").iterdir():
                target = os.readlink(link)
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                host, _, port = words[1].partition(":")
                found.add(f"{_address(host)}:{int(port, 16)}")
    return found


def _address(digits: str) -> str:
    parts = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(parts)}I", *parts)
    return socket.inet_ntop(socket.AF_INET if len(parts) == 1 else socket.AF_INET6, packed)


def is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0]
    return host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")


def left_of(processes: set[int], seconds: float = 10.0) -> list[str]:
    """What is left of some processes when they have had some time to end."""
    until = time.monotonic() + seconds
    while (left := [name for process in processes if (name := name_of(process))]) and time.monotonic() < until:
        time.sleep(0.2)
    return left
