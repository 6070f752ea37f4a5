"""What is optimised in place of pixels, and the image it stands for.

`start(random)` gives the random parameters of one image, `images(parameters)` of several float32 `(n, size, size, c)` in 0-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

#: Square root of the covariance of ImageNet's colours, columns over the length of the longest (Lucid, 2018).
_COLOUR_SQRT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
COLOUR_CORRELATION = _COLOUR_SQRT / np.linalg.norm(_COLOUR_SQRT, axis=0).max()

#: Standard deviation of the first parameters, and what tames the spectrum's sum (Lucid, 2018).
START_DEVIATION, TAMING = 0.01, 4.0


class Parameterisation(Protocol):
    """size: side of the images in px. channels: 1 or 3; three are red, green, blue."""

    size: int
    channels: int

    def start(self, random: np.random.Generator) -> np.ndarray:
        """First parameters of an image, float32."""
        ...

    def images(self, parameters: jax.Array) -> jax.Array: ...


@dataclass(frozen=True)
class Pixels:
    """Every pixel on its own, through a sigmoid."""

    size: int
    channels: int

    def start(self, random: np.random.Generator) -> np.ndarray:
        shape = (self.size, self.size, self.channels)
        return np.float32(START_DEVIATION) * random.standard_normal(shape, np.float32)

    def images(self, parameters: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(parameters)


@dataclass(frozen=True)
class Fourier:
    """The spectrum of each channel, frequencies scaled to the energy they have in natural images; decorrelated colours.

    Olah et al. 2017, "preconditioning"; the scale is Lucid's. parameters: real and imaginary parts,
    `(n, 2, size, size // 2 + 1, c)`.
    """

    size: int
    channels: int

    def start(self, random: np.random.Generator) -> np.ndarray:
        shape = (2, self.size, self.size // 2 + 1, self.channels)
        return np.float32(START_DEVIATION) * random.standard_normal(shape, np.float32)

    def images(self, parameters: jax.Array) -> jax.Array:
        scale = np.float32(self.size / TAMING) / np.maximum(frequencies(self.size), 1 / self.size)
        planes = jnp.moveaxis(parameters, -1, 1) * scale
        return _colours(jax.lax.complex(planes[:, :, 0], planes[:, :, 1]), self.size)


@dataclass(frozen=True)
class Maco:
    """Only the phases; the magnitudes stay those of natural images (Fel et al. 2023, MACO, section 3).

    magnitudes: float32 `(size, size // 2 + 1, c)` of `mean_magnitudes`, in decorrelated colours. parameters: phases in radians,
    `(n, size, size // 2 + 1, c)`.
    """

    size: int
    channels: int
    magnitudes: jax.Array | np.ndarray

    def start(self, random: np.random.Generator) -> np.ndarray:
        shape = (self.size, self.size // 2 + 1, self.channels)
        return random.uniform(-np.pi, np.pi, shape).astype(np.float32)

    def images(self, parameters: jax.Array) -> jax.Array:
        phases = jnp.moveaxis(parameters, -1, 1)
        magnitudes = jnp.moveaxis(jnp.asarray(self.magnitudes), -1, 0)
        return _colours(jax.lax.complex(magnitudes * jnp.cos(phases), magnitudes * jnp.sin(phases)), self.size)


def frequencies(size: int) -> np.ndarray:
    """Float32 `(size, size // 2 + 1)`: cycles per pixel of each entry of `rfft2`."""
    return np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)).astype(np.float32)


def _colours(spectra: jax.Array, size: int) -> jax.Array:
    """Spectra `(n, c, size, size // 2 + 1)` to images `(n, size, size, c)` in 0-1; three channels are independent colour axes.

    Channels stay planes until the end: transforms and sums of whole planes take a third of the time of interleaved ones.
    """
    planes = jnp.fft.irfft2(spectra, s=(size, size))
    if planes.shape[1] == 3:
        mixed = [sum(float(weight) * planes[:, axis] for axis, weight in enumerate(row)) for row in COLOUR_CORRELATION]
        return jax.nn.sigmoid(jnp.stack(mixed, axis=-1))
    return jax.nn.sigmoid(jnp.moveaxis(planes, 1, -1))


def mean_magnitudes(images: np.ndarray) -> np.ndarray:
    """Float32 `(size, size // 2 + 1, c)`: the mean magnitude spectrum of `images` `(n, size, size, c)` in 0-1, for `Maco`.

    Of what stands before the sigmoid, in decorrelated colours.
    """
    clipped = np.clip(images, 0.02, 0.98).astype(np.float64)
    raw = np.log(clipped / (1 - clipped))
    if raw.shape[-1] == 3:
        raw = raw @ np.linalg.inv(COLOUR_CORRELATION.astype(np.float64)).T
    return np.abs(np.fft.rfft2(raw, axes=(1, 2))).mean(axis=0).astype(np.float32)
