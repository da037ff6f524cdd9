"""Which signs of a PDF no font of the system has, and which package would bring one."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def watch_fonts() -> Iterator[set[str]]:
    """The signs that WeasyPrint, while this is open, draws as an empty box for want of a font."""
    missing: set[str] = set()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found = re.search(r"\.notdef glyph .*\(U\+([0-9A-F]+)\)", record.getMessage(), re.DOTALL)
            if found:
                missing.add(chr(int(found[1], 16)))

    listener, logger = Listener(logging.WARNING), logging.getLogger("weasyprint")
    logger.addHandler(listener)
    try:
        yield missing
    finally:
        logger.removeHandler(listener)


def describe_missing(missing: set[str]) -> str:
    """A sentence that names the signs, by number and name as they cannot be shown, and what to install for them."""
    signs = sorted(missing)
    named = [f"U+{ord(sign):04X} {unicodedata.name(sign, 'without a name')}" for sign in signs[:_MOST]]
    more = f" and {len(signs) - _MOST} more" if len(signs) > _MOST else ""
    packages = " ".join(sorted({_package(sign) for sign in signs}))
    return (
        f"No font here has these characters, which the PDF shows as boxes: {', '.join(named)}{more}. "
        f"Install one that has; on Debian, `apt-get install {packages}`."
    )


def _package(sign: str) -> str:
    """The package of Debian whose fonts have a sign, as far as any has."""
    name = unicodedata.name(sign, "")
    if name.startswith(_CJK):
        return "fonts-noto-cjk"
    if 0x1F000 <= ord(sign) <= 0x1FAFF:
        return "fonts-noto-color-emoji"
    return "fonts-noto-core"


_MOST = 12
"""Signs that are named."""

_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "HALFWIDTH", "IDEOGRAPHIC", "YI ")
