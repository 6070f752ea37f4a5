"""What the network sees of an image at each step: the same image a little moved, scaled and turned.

An image that excites a unit in all of these positions is a pattern, not an adversarial accident (Olah et al. 2017).
Padding, jitter, scale, rotation and jitter again are one affine map, sampled bilinearly once. A frame is the `(height, width)`
in px of what the network sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

#: What lies around the image, 0-1.
SURROUND = 0.5


@dataclass(frozen=True)
class Robustness:
    """jitter: two moves, each of a whole number of px from `-n // 2` to `n // 2`.

    scales: smallest and largest factor. degrees: largest turn either way; one time in `upright`, there is none.
    """

    frame: tuple[int, int]
    jitter: tuple[int, int]
    scales: tuple[float, float]
    degrees: float
    upright: int = 5


@dataclass(frozen=True)
class Affine:
    """Where the frame's pixels lie in the image: `image = matrix @ frame + shift`, both from `_middles`, (row, column).

    matrix: float32 `(..., 2, 2)`. shift: float32 `(..., 2)`.
    """

    matrix: jax.Array | np.ndarray
    shift: jax.Array | np.ndarray


jax.tree_util.register_dataclass(Affine, ("matrix", "shift"), ())


def sampled(random: np.random.Generator, count: int, robustness: Robustness) -> Affine:
    """`count` random transforms."""
    scale = random.uniform(*robustness.scales, count)
    angle = np.deg2rad(random.uniform(-robustness.degrees, robustness.degrees, count))
    angle = np.where(random.integers(robustness.upright, size=count) > 0, angle, 0.0)
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.stack([np.stack([cosine, -sine], axis=-1), np.stack([sine, cosine], axis=-1)], axis=-2)
    shift = sum(random.integers(-(most // 2), most // 2 + 1, (count, 2)) for most in robustness.jitter)
    return Affine(matrix.astype(np.float32), shift.astype(np.float32))


def unmoved() -> Affine:
    """The image in the middle of the frame."""
    return Affine(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))


def framed(images: jax.Array, affine: Affine, frame: tuple[int, int]) -> jax.Array:
    """`images` `(n, size, size, c)` as the network sees them, `(n, *frame, c)`; affine: one for each image.

    Grey where the frame reaches beyond the image.
    """
    return SURROUND + jax.vmap(partial(_warped, frame=frame))(images - SURROUND, affine.matrix, affine.shift)


def _middles(frame: tuple[int, int], size: int) -> tuple[float, float]:
    """Where the frame has the middle of the image: pixels on pixels, so that an image at rest is never blurred."""
    return tuple((side - size) // 2 + (size - 1) / 2 for side in frame)


def _coordinates(shape: tuple[int, int], middle: tuple[float, float]) -> jax.Array:
    """Of pixels, `(2, *shape)`, from `middle`."""
    return jnp.stack(jnp.meshgrid(*(jnp.arange(n) - origin for n, origin in zip(shape, middle, strict=True)), indexing="ij"))


def _places(matrix: jax.Array, shift: jax.Array, frame: tuple[int, int], size: int) -> jax.Array:
    """Image coordinates `(2, *frame)` of the frame's pixels."""
    rows, columns = _coordinates(frame, _middles(frame, size))
    places = jnp.stack([matrix[i, 0] * rows + matrix[i, 1] * columns + shift[i] for i in (0, 1)])
    return places + (size - 1) / 2


def _gathered(pixels: jax.Array, rows: jax.Array, columns: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Values of `pixels` `(h, w, c)` at whole places, and 1 where those lie inside, else 0."""
    height, width, channels = pixels.shape
    flat = pixels.reshape(-1, channels)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = jnp.where(inside, rows * width + columns, 0)
    return flat.at[index].get(mode="promise_in_bounds"), inside.astype(flat.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _warped(image: jax.Array, matrix: jax.Array, shift: jax.Array, frame: tuple[int, int]) -> jax.Array:
    """Bilinear samples `(*frame, c)` of `image` `(size, size, c)`, zero outside."""
    size, _, channels = image.shape
    places = _places(matrix, shift, frame, size)
    corner = jnp.floor(places)
    rest = places - corner
    corner = corner.astype(jnp.int32)

    def add(corners: jax.Array, total: jax.Array) -> jax.Array:
        down, beside = corners // 2, corners % 2
        values, inside = _gathered(image, corner[0] + down, corner[1] + beside)
        weight = jnp.where(down, rest[0], 1 - rest[0]) * jnp.where(beside, rest[1], 1 - rest[1])
        return total + values * (weight * inside)[:, :, None]

    # Loops instead of sums written out, here and below: they take as long, but a fraction of the time to compile.
    return jax.lax.fori_loop(0, 4, add, jnp.zeros((*frame, channels), image.dtype))


def _warped_forward(image, matrix, shift, frame):
    return _warped(image, matrix, shift, frame), (image.shape, matrix, shift)


def _warped_backward(frame, saved, cotangent):
    """The adjoint as a gather: each image pixel collects from the frame's pixels that had read it.

    Those lie within one px of it in the image, so within `|cos| + |sin|` times the scale in the frame: at most three to a side
    (scales up to 1.2 at 14 degrees). A scatter would do the same, one number at a time.
    """
    (size, _, channels), matrix, shift = saved
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    inverse = jnp.array([[matrix[1, 1], -matrix[0, 1]], [-matrix[1, 0], matrix[0, 0]]]) / determinant
    reach = jnp.abs(inverse).sum(axis=1)
    moved = _coordinates((size, size), ((size - 1) / 2,) * 2) - shift[:, None, None]
    middle = _middles(frame, size)
    near = [inverse[i, 0] * moved[0] + inverse[i, 1] * moved[1] + middle[i] for i in (0, 1)]
    first = [jnp.ceil(near[i] - reach[i]).astype(jnp.int32) for i in (0, 1)]

    def add(place: jax.Array, total: jax.Array) -> jax.Array:
        rows, columns = first[0] + place // 3, first[1] + place % 3
        values, inside = _gathered(cotangent, rows, columns)
        y, x = rows - middle[0], columns - middle[1]
        away = [jnp.abs(matrix[i, 0] * y + matrix[i, 1] * x - moved[i]) for i in (0, 1)]
        weight = jnp.maximum(1 - away[0], 0) * jnp.maximum(1 - away[1], 0)
        return total + values * (weight * inside)[:, :, None]

    return jax.lax.fori_loop(0, 9, add, jnp.zeros((size, size, channels), cotangent.dtype)), None, None


_warped.defvjp(_warped_forward, _warped_backward)


@dataclass(frozen=True)
class Crops:
    """What MACO shows instead: `count` square crops of each image, resized to the frame, with noise (Fel et al. 2023, 3.2).

    shares: smallest and largest side of a crop over the image's. noise: its standard deviation, in 0-1.
    """

    frame: tuple[int, int]
    count: int
    shares: tuple[float, float] = (0.05, 0.5)
    noise: float = 0.08


def cropped(images: jax.Array, keys: jax.Array, crops: Crops) -> jax.Array:
    """`images` `(n, size, size, c)` as `(n * count, *frame, c)`, crops of an image one after the other. keys: `(n,)`."""

    def one(image: jax.Array, key: jax.Array) -> jax.Array:
        share_key, place_key, noise_key = jax.random.split(key, 3)
        size = len(image)
        share = jax.random.uniform(share_key, minval=crops.shares[0], maxval=crops.shares[1])
        side = share * size
        # Bilinear resizing of a crop is a matrix from the left and one from the right: weights fall from 1 to 0 within a px.
        starts = jax.random.uniform(place_key, (2,)) * (size - side)
        within = [(jnp.arange(length) + 0.5) / length * side - 0.5 for length in crops.frame]
        places = [jnp.clip(start + steps, 0, size - 1) for start, steps in zip(starts, within, strict=True)]
        rows, columns = (jnp.maximum(1 - jnp.abs(place[:, None] - jnp.arange(size)), 0) for place in places)
        seen = jnp.einsum("yh,hwc,xw->yxc", rows, image, columns)
        return seen + crops.noise * jax.random.normal(noise_key, seen.shape)

    keys = jax.vmap(partial(jax.random.split, num=crops.count))(keys)
    found = jax.vmap(lambda image, own: jax.vmap(partial(one, image))(own))(images, keys)
    return found.reshape(-1, *found.shape[2:])


@dataclass(frozen=True)
class Scaling:
    """From images in 0-1 to what the network is fed: `image * factor + offset` per channel. reverse: blue comes first."""

    factor: np.ndarray
    offset: np.ndarray
    reverse: bool

    def fed(self, images: jax.Array) -> jax.Array:
        ordered = images[..., ::-1] if self.reverse else images
        return ordered * self.factor + self.offset

    def shown(self, inputs: np.ndarray) -> np.ndarray:
        """The inverse of `fed`."""
        images = (inputs - self.offset) / self.factor
        return images[..., ::-1] if self.reverse else images
