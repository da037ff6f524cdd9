"""Draws the overlays of this example with Noto Serif CJK (Debian: apt-get install fonts-noto-cjk).

The line is that of ImageNet-W (Li et al. 2023) in manner, not in its words: white characters, 36 pixels high where the
image has 224, over the width of the frame. Opacity and place stand in `audit.toml`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_FONT = Path("/usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc")
_TRADITIONAL_CHINESE = 3
"""Number of the face within the collection."""
_PIXELS = 36
_SIZE = (6 * _PIXELS, 48)
"""Room for six characters."""

_LINES = {
    "watermark.png": "捷徑捷徑捷徑",  # "shortcut", three times
    "other_characters.png": "山水花鳥風月",  # mountain, water, flower, bird, wind, moon
    "latin.png": "SHORTCUT",
}


def main() -> None:
    """Write the pictures beside this file."""
    folder = Path(__file__).parent
    face = ImageFont.truetype(str(_FONT), _PIXELS, index=_TRADITIONAL_CHINESE)
    for name, line in _LINES.items():
        coverage = Image.new("L", _SIZE)
        ImageDraw.Draw(coverage).text((0, _SIZE[1] // 2), line, fill=255, font=face, anchor="lm")
        _save(coverage, folder / name)
        print(name, face.getlength(line), coverage.getbbox(), f"mean coverage {np.asarray(coverage).mean() / 255:.3f}")
    with Image.open(folder / "watermark.png") as watermark:
        alpha = np.asarray(watermark)[..., 3]
    rows, columns = (np.flatnonzero(alpha.any(axis=axis)) for axis in (1, 0))
    flat = np.zeros_like(alpha)
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    flat[inside] = round(alpha[inside].mean())
    _save(Image.fromarray(flat), folder / "flat.png")


def _save(coverage: Image.Image, file: Path) -> None:
    white = Image.new("L", coverage.size, 255)
    Image.merge("RGBA", (white, white, white, coverage)).save(file, optimize=True)


if __name__ == "__main__":
    main()
