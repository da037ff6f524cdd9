"""What is varied when an image is optimised: pixels, or frequencies of decorrelated colours, kept in [0, 1].

A parametrisation is an invertible linear map from parameters to raw images, and a constraint that makes valid images
of raw ones. Plain steps along the gradient are then steepest in another metric: one in which images look less like
noise. All maps have exact adjoints, so gradients by parameters are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import fft

from auditor.measure.arrays import Doubles, Floats, Numbers

Basis = Literal["fourier", "pixels"]
Constraint = Literal["sigmoid", "clip"]

_EDGE = 0.01
"""A sigmoid never quite reaches black and white: an image to start from is taken that far inside."""

_STRENGTH = 4.0
"""Parameters of the lowest frequency are this many times weaker than pixels, after lucid (Olah et al. 2017)."""


@dataclass(frozen=True)
class LinearMap:
    """An invertible linear map of float arrays whose first axis is the image; shapes may differ."""

    forward: Callable[[Floats], Floats]
    adjoint: Callable[[Floats], Floats]
    inverse: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Parametrisation:
    """Images (n, h, w, c) in [0, 1] by parameters (n, ...)."""

    basis: LinearMap
    constraint: Constraint

    def to_images(self, parameters: Floats) -> Floats:
        raw = self.basis.forward(parameters)
        if self.constraint == "clip":
            return np.clip(raw, 0, 1)
        return np.asarray(1 / (1 + np.exp(-raw)), dtype=np.float32)

    def to_parameters(self, images: Floats) -> Floats:
        """Parameters of given images, as near as the constraint lets them be."""
        if self.constraint == "clip":
            return self.basis.inverse(images)
        inside = np.clip(images, _EDGE, 1 - _EDGE)
        return self.basis.inverse(np.log(inside) - np.log1p(-inside))

    def pull_back(self, images: Floats, slopes: Floats) -> Floats:
        """Derivatives by the parameters, from images (n, h, w, c) and derivatives by their pixels.

        A clipped pixel passes on only what would bring it back into the range.
        """
        if self.constraint == "sigmoid":
            return self.basis.adjoint(slopes * images * (1 - images))
        outward = ((images <= 0) & (slopes < 0)) | ((images >= 1) & (slopes > 0))
        return self.basis.adjoint(np.where(outward, np.float32(0), slopes))


def parametrise(
    basis: Basis, constraint: Constraint, shape: tuple[int, int, int], covariance: Numbers | None = None
) -> Parametrisation:
    """A parametrisation of images of a shape (h, w, c).

    Parameters
    ----------
    covariance
        (c, c) of the pixels of real images: the Fourier basis varies colours along its axes, in their proportions.
    """
    if basis == "pixels":
        return Parametrisation(LinearMap(_same, _same, _same), constraint)
    colours = colour_map(np.eye(shape[2]) if covariance is None else covariance)
    waves = fourier_map(shape)
    whole = LinearMap(
        lambda parameters: colours.forward(waves.forward(parameters)),
        lambda slopes: waves.adjoint(colours.adjoint(slopes)),
        lambda images: waves.inverse(colours.inverse(images)),
    )
    return Parametrisation(whole, constraint)


def fourier_map(shape: tuple[int, int, int]) -> LinearMap:
    """Spectra (n, h, w // 2 + 1, c, 2) of real and imaginary parts to images (n, h, w, c).

    Each frequency is divided by its length, so that equal steps in all parameters change images as natural ones vary.

    References: Olah, Mordvintsev, Schubert, "Feature visualization" (2017), for preconditioning.
    """
    height, width, _ = shape
    down, right = fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]
    lowest = 1 / max(height, width)
    scale = (1 / (_STRENGTH * np.maximum(np.hypot(down, right), lowest))).astype(np.float32)[None, :, :, None]
    # all columns but the first, and the last of an even width, stand for their mirror images too
    shares = np.full(width // 2 + 1, 2.0, np.float32)
    shares[0] = 1
    shares[-1] = 1 if width % 2 == 0 else shares[-1]
    by_adjoint = scale * shares[None, None, :, None]

    def forward(parameters: Floats) -> Floats:
        spectrum = scale * (parameters[..., 0] + 1j * parameters[..., 1])
        return np.asarray(fft.irfft2(spectrum, s=(height, width), axes=(1, 2), norm="ortho"))

    def transform(images: Floats, weights: Floats) -> Floats:
        spectrum = fft.rfft2(images, axes=(1, 2), norm="ortho") * weights
        return np.stack([spectrum.real, spectrum.imag], axis=-1)

    return LinearMap(forward, lambda slopes: transform(slopes, by_adjoint), lambda images: transform(images, 1 / scale))


def colour_map(covariance: Numbers) -> LinearMap:
    """Decorrelated colours to the colours of pixels (..., c), the last axis.

    Of unit variance each, they give pixels of this covariance (c, c), but for a common factor.
    """
    variances, axes = np.linalg.eigh(np.asarray(covariance, np.float64))
    largest = float(variances.max())
    if not largest > 0:  # images all of one colour say nothing of colours
        variances, axes, largest = np.ones(len(variances)), np.eye(len(variances)), 1.0
    # a colour that the images lack stays within reach, if barely: the map must be invertible
    spread = np.sqrt(np.maximum(variances / largest, 1e-4))
    matrix = (axes * spread).astype(np.float32)
    back = (axes / spread).astype(np.float32)
    return LinearMap(lambda values: values @ matrix.T, lambda slopes: slopes @ matrix, lambda values: values @ back)


def colour_covariance(images: Floats) -> Doubles:
    """Covariance (c, c) of the pixels of images (n, h, w, c)."""
    channels = images.shape[-1]
    pixels = images.reshape(-1, channels)
    centred = pixels - pixels.mean(axis=0, dtype=np.float64)
    return np.asarray(np.einsum("pi,pj->ij", centred, centred) / max(len(pixels), 1))


def _same(values: Floats) -> Floats:
    return values
