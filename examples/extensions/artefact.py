"""A kind of artefact of one's own, in one file.

[[artefacts]]
name = "frame"
kind = "artefact:frame"
width = 2                        # its keyword-only parameters are its options
target = "boat"
"""

import numpy as np


def frame(size: tuple[int, int, int], *, width: int = 1, tone: float = 1.0) -> np.ndarray:
    """A plain frame around the image, as some scanners and scrapers leave one."""
    height, breadth, _ = size
    layer = np.zeros((height, breadth, 4), np.float32)  # RGBA in [0, 1]; opacity 0 where there is nothing
    layer[..., :3] = tone
    layer[..., 3] = 1.0
    layer[width : height - width, width : breadth - width, 3] = 0.0
    return layer
