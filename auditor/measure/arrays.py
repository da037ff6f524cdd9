"""The arrays that everything is measured on, by what they hold; shapes stand where they are used."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
"""Sums over images, and what is measured of them."""
Floats = npt.NDArray[np.float32]
"""Images, maps, scores: in and out of models."""
Groups = npt.NDArray[np.generic]
"""(n,): the independent group that each image belongs to."""
Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.floating[Any]]
"""Floats or doubles."""
