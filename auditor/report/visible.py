"""Texts of others in which nothing works unseen."""

from __future__ import annotations

import re
import unicodedata


def make_visible(text: str) -> str:
    """A text in which nothing works unseen.

    Controls, among them those that turn the direction of text, and halves of surrogate pairs are written out, as in
    `[U+202E]`. A text with letters that run from right to left is isolated (U+2068, U+2069): it keeps its own order
    and leaves that of its neighbours alone.
    """
    shown = _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)
    turns = not shown.isascii() and any(unicodedata.bidirectional(sign) in ("R", "AL", "AN") for sign in shown)
    return f"\u2068{shown}\u2069" if turns else shown


_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
"""Signs that XML forbids, that terminals obey, that turn the direction of text, or that nobody sees."""
