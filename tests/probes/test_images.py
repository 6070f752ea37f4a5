"""Image files of every kind, sane and broken."""

import contextlib
import io
import re
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from generator.errors import ProbeError
from generator.probes import images
from generator.probes.images import read_header, read_image


def colours(height=12, width=20):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def both(path):
    """Pixels, after checking that the header promised their shape."""
    header, pixels = read_header(path), read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (header.height_px, header.width_px, header.channels)
    return pixels


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "webp"])
def test_lossless_formats_come_back_as_they_were(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(colours()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(both(path), colours())


def test_the_suffix_does_not_matter(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(Image.fromarray(colours()), "PNG"))
    np.testing.assert_array_equal(both(path), colours())


def test_grey_stays_grey(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(colours()[..., 0]).save(path)
    np.testing.assert_array_equal(both(path), colours()[..., :1])


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).swapaxes(0, 1)),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, format, orientation, upright):
    stored = np.repeat(np.repeat(colours(2, 3), 16, 0), 16, 1)  # blocks survive JPEG
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a"
    path.write_bytes(encoded(Image.fromarray(stored), format, exif=exif.tobytes(), **_lossless(format)))
    np.testing.assert_allclose(both(path).astype(int), upright(stored), atol=12)


def _lossless(format):
    return {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format, {})


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"Exif\x00\x00II*\x00\xff\xff\xff\xff junk", b"Exif\x00\x00MM\x00*\x00\x00", b"Exif\xce\x00MM"]
)
def test_broken_exif_does_not_spoil_the_picture(tmp_path, format, exif):
    path = tmp_path / "a"
    path.write_bytes(encoded(Image.fromarray(colours()), format, exif=exif))
    assert both(path).shape == (12, 20, 3)


def test_palettes_become_colours(tmp_path):
    path = tmp_path / "a.gif"
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    image.save(path)
    np.testing.assert_array_equal(both(path), [[[255, 0, 0], [0, 0, 255]]])


def test_one_bit_images_become_grey(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[True, False]])).save(path)
    np.testing.assert_array_equal(both(path)[..., 0], [[255, 0]])


def test_transparency_is_laid_on_white(tmp_path):
    alpha = np.tile(np.linspace(0, 255, 20).astype(np.uint8), (12, 1))
    expected = colours() * (alpha / 255)[..., None] + 255 * (1 - alpha / 255)[..., None]
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack([colours(), alpha])).save(path)
    np.testing.assert_allclose(both(path), expected, atol=1)
    Image.merge("LA", [Image.fromarray(colours()[..., 0]), Image.fromarray(alpha)]).save(path)
    np.testing.assert_allclose(both(path)[..., 0], expected[..., 0], atol=1)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_is_white_too(tmp_path, mode):
    path = tmp_path / "a.png"
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), (40, 40, 40) if mode == "RGB" else 40)
    image.save(path, transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert (both(path)[0, 0] == 255).all()
    assert (both(path)[0, 1] < 255).all()


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_16_bit_grey_is_scaled_from_its_full_range(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    levels = np.array([[0, 128, 129, 257, 32768, 65278, 65535]], np.uint16)
    Image.fromarray(levels).save(path)
    np.testing.assert_array_equal(both(path)[..., 0], np.rint(levels / 65535 * 255))
    assert "16-bit" in read_header(path).note


def test_16_bit_big_endian_tiff(tmp_path):
    path = tmp_path / "a.tiff"
    image = Image.frombytes("I;16B", (2, 1), np.array([[256, 65535]], ">u2").tobytes())
    image.save(path)
    np.testing.assert_array_equal(both(path)[..., 0], [[1, 255]])


@pytest.mark.parametrize("highest", [1, 255])
def test_floating_point_grey_is_scaled_from_0_1_or_rounded(tmp_path, highest):
    path = tmp_path / "a.tiff"
    levels = np.random.default_rng(0).random((3, 4)).astype(np.float32) * highest
    levels[0, 0] = highest
    Image.fromarray(levels).save(path)
    expected = [[int(level / highest * 255 + 0.5) for level in row] for row in levels.astype(float).tolist()]
    np.testing.assert_array_equal(both(path)[..., 0], expected)
    assert read_header(path).note == "floating-point grey scaled to 8 bits"


@pytest.mark.parametrize("wrong", [-0.1, 255.5, np.nan, np.inf])
def test_floating_point_grey_of_another_range_is_refused(tmp_path, wrong):
    levels = np.full((3, 4), 0.5, np.float32)
    levels[1, 1] = wrong
    Image.fromarray(levels).save(tmp_path / "a.tiff")
    with pytest.raises(ProbeError, match=r"floating-point numbers from .* save it as 8-bit PNG"):
        read_image(tmp_path / "a.tiff")


def test_what_reading_changes_is_said(tmp_path, monkeypatch):
    def note(image, suffix="png", **options):
        image.save(tmp_path / f"a.{suffix}", **options)
        return read_header(tmp_path / f"a.{suffix}").note

    plain = Image.fromarray(colours())
    turned = Image.Exif()
    turned[0x0112] = 6
    assert note(plain) == note(plain.convert("P")) == note(plain.convert("L")) == ""
    assert note(plain.convert("RGBA")) == "transparency laid on white"
    assert note(plain.convert("CMYK"), "tiff") == "CMYK turned into RGB"
    assert note(plain, "jpg", exif=turned) == "turned as its EXIF data says"
    monkeypatch.setattr(images, "ENOUGH_PX", 4)
    assert note(plain.convert("RGBA"), exif=turned) == (
        "transparency laid on white, turned as its EXIF data says, shrunk by averaging"
    )


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "I;16", "F"])
@pytest.mark.parametrize("enough_px", [100, 3])
def test_band_by_band_is_the_same_as_all_at_once(tmp_path, monkeypatch, mode, enough_px):
    path = tmp_path / "a.tiff"
    random = np.random.default_rng(2)
    if mode in ("I;16", "F"):
        Image.fromarray(random.integers(0, 256, (14, 9)).astype(np.uint16 if mode == "I;16" else np.float32)).save(path)
    elif mode in ("LA", "RGBA"):
        Image.fromarray(random.integers(0, 256, (14, 9, len(mode)), np.uint8)).save(path)
    else:
        Image.fromarray(colours(14, 9)).convert(mode).save(path)
    monkeypatch.setattr(images, "ENOUGH_PX", enough_px)
    whole = read_image(path)
    monkeypatch.setattr(images, "_BAND_PIXELS", 45)
    np.testing.assert_array_equal(read_image(path), whole)
    assert whole.shape[:2] == ((14, 9) if enough_px == 100 else (5, 3))


def test_cie_lab_is_refused_by_name(tmp_path):
    Image.new("LAB", (3, 2)).save(tmp_path / "a.tiff")
    with pytest.raises(ProbeError, match=r"CIE L\*a\*b\*; save it as RGB"):
        read_image(tmp_path / "a.tiff")


def test_cmyk_becomes_rgb(tmp_path):
    path = tmp_path / "a.tiff"
    Image.new("CMYK", (3, 2), (255, 0, 0, 0)).save(path)
    np.testing.assert_array_equal(both(path)[0, 0], [0, 255, 255])
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(path)
    assert (both(path) < 4).all()


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_animations_give_their_first_frame_and_say_so(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(both(path)[4, 4], [255, 0, 0])
    assert read_header(path).note == "first frame of several"


def test_the_preview_in_a_photograph_is_no_animation(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 16), "red").save(path, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])
    np.testing.assert_allclose(both(path)[8, 8], [255, 0, 0], atol=3)
    assert read_header(path).note == ""


def test_one_pixel(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (1, 1), "red").save(path)
    np.testing.assert_array_equal(both(path), [[[255, 0, 0]]])


def test_20_000_pixels_wide(tmp_path):
    path = tmp_path / "a.png"
    wide = np.zeros((30, 20_000), np.uint8)
    wide[:, 10_000:] = 255
    Image.fromarray(wide).save(path)
    np.testing.assert_array_equal(both(path)[..., 0], wide)


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0.51), ("jpg", 4)])
def test_large_images_are_shrunk_by_block_means(tmp_path, monkeypatch, suffix, tolerance):
    monkeypatch.setattr(images, "ENOUGH_PX", 32)
    smooth = np.add.outer(np.arange(96), np.arange(192) / 2).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth).save(path)
    assert (read_header(path).width_px, read_header(path).height_px) == (192, 96)
    pixels = read_image(path)[..., 0]
    factor = 96 // len(pixels)
    assert pixels.shape == (96 // factor, 192 // factor)
    assert min(pixels.shape) >= 32
    assert factor > 1
    blocks = smooth.reshape(96 // factor, factor, 192 // factor, factor).mean((1, 3))
    np.testing.assert_allclose(pixels, blocks, atol=tolerance)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_for_a_20_000_px_wide_image_is_bounded(tmp_path):
    path = tmp_path / "a.png"
    header = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", (20_000).to_bytes(4) + (4_500).to_bytes(4) + b"\x08\x02\x00\x00\x00")
    packer = zlib.compressobj(1)
    row = b"\x00" + bytes(60_000)
    rows = b"".join(packer.compress(row) for _ in range(4_500)) + packer.flush()
    path.write_bytes(header + _chunk(b"IDAT", rows) + _chunk(b"IEND", b""))
    # VmHWM, not ru_maxrss: the latter also counts the process that started this one
    code = f"""
        from pathlib import Path
        from generator.probes.images import read_image
        print(read_image(Path({str(path)!r})).shape)
        (peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
        print(peak)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - the code above
    shape, peak_kb = done.stdout.splitlines()
    assert shape == "(2250, 10000, 3)"
    assert int(peak_kb) < 1_000_000


def _chunk(kind, body):
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def bomb(width, height):
    """A PNG that claims a size and holds next to nothing."""
    size = width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size) + _chunk(b"IDAT", zlib.compress(bytes(1000)))


def bad_files(folder):
    """Each kind of bad file with what is said of it."""
    png, jpeg = (encoded(Image.fromarray(colours(64, 64)), format) for format in ("PNG", "JPEG"))
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    floats = encoded(Image.fromarray(-np.ones((4, 4), np.float32)), "TIFF")
    contents = {
        "empty.png": (b"", "the file is empty"),
        "text.png": (b"not an image at all", "no image"),
        "truncated.png": (png[: len(png) // 2], "damaged or cut off"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "damaged or cut off"),
        "flipped.png": (bytes(flipped), "damaged or cut off"),
        "bomb.png": (bomb(20_000, 20_000), "more than 100 million pixels"),
        "large.png": (bomb(10_001, 10_000), "more than 100 million pixels"),
        "float.tiff": (floats, "floating-point"),
        "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {folder / name: message for name, (_, message) in contents.items()}


def test_every_bad_file_is_refused_with_its_path_and_a_way_out(tmp_path):
    for path, message in bad_files(tmp_path).items():
        with pytest.raises(ProbeError, match=re.escape(message)) as caught:
            both(path)
        (problem,) = caught.value.problems
        assert problem.place == str(path)
        assert problem.way_out


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ProbeError, match="no such file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ProbeError):
        read_image(tmp_path)


SAMPLES = [
    encoded(Image.fromarray(colours()), "PNG"),
    encoded(Image.fromarray(colours()), "JPEG"),
    encoded(Image.fromarray(colours()), "WEBP"),
    encoded(Image.fromarray(colours()), "TIFF", compression="tiff_lzw"),
    encoded(Image.fromarray(colours()).convert("P"), "GIF"),
    encoded(Image.fromarray(colours()), "BMP"),
    encoded(Image.fromarray(colours()[..., 0].astype(np.uint16) * 257), "PNG"),
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sample=st.sampled_from(SAMPLES),
    cut=st.integers(0, 4000),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4),
)
def test_damage_gives_an_image_or_a_probe_error_and_nothing_else(tmp_path, sample, cut, changes):
    damaged = bytearray(sample)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    path = tmp_path / "a"
    path.write_bytes(bytes(damaged[: len(damaged) - cut] or b"x"))
    for read in (read_header, read_image):
        with contextlib.suppress(ProbeError):
            read(path)
