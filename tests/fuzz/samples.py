"""Small sound files of every format that is read, how they are damaged, and files made to take memory or time."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generator.errors import UserError
from tests.sources.conftest import TorchFiles

RANDOM = np.random.default_rng(0)
WEIGHTS = {"conv/kernel": RANDOM.normal(size=(3, 3, 2, 4)).astype(np.float32), "conv/bias": np.zeros(4, np.float32)}
PICTURE = Image.fromarray(RANDOM.integers(0, 256, (9, 14, 3), np.uint8))


@dataclass(frozen=True)
class Reader:
    """read: what is asked of a file. samples: sound files. packs: how each damaged copy is packed afterwards, so that damage
    reaches what is inside. bombs: small files that claim much."""

    read: Callable[[Path], Any]
    samples: Mapping[str, bytes]
    packs: Mapping[str, Callable[[bytes], bytes]]
    bombs: Callable[[], Iterator[tuple[str, bytes]]]


def readers() -> dict[str, Callable[[], Reader]]:
    """By name; what a reader needs is imported when it is asked for."""
    return {
        "torch": _torch,
        "arrays": _arrays,
        "idx": _idx,
        "cifar": _cifar,
        "npz": _npz,
        "csv": _csv,
        "images": _images,
    }


def plain(content: bytes) -> bytes:
    return content


# checkpoints


def _torch() -> Reader:
    from generator.sources.weights import read_checkpoint

    files, scratch = TorchFiles(), Path("scratch")
    zipped = files.write_arrays(scratch, False, WEIGHTS).read_bytes()
    legacy = files.write_arrays(scratch, True, WEIGHTS).read_bytes()
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}

    def with_pickle(content: bytes) -> bytes:
        return zipped_of({**parts, "archive/data.pkl": content})

    def bombs() -> Iterator[tuple[str, bytes]]:
        remember, recall = b"r\0\0\0\0", b"j\0\0\0\0"
        long_list = b"](" + b"K\1" * 200_000 + b"e" + remember
        yield (
            "copies of a list",
            with_pickle(
                b"\x80\x02]("
                + (b"ctorch\nSize\n" + long_list + b"\x85R")
                + (b"ctorch\nSize\n" + recall + b"\x85R") * 3000
                + b"e."
            ),
        )
        long_tuple = b"(" + b"K\1" * 200_000 + b"t" + remember
        rebuild = b"ctorch._utils\n_rebuild_tensor\n(K\1K\0" + recall * 2 + b"tR"
        yield "long shapes", with_pickle(b"\x80\x02" + long_tuple + rebuild * 3000 + b".")
        keys = b"".join(b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") + b"N" for n in range(60_000))
        yield "keys that collide", with_pickle(b"\x80\x02}(" + keys + b"u.")
        doubling = b"]" + b"".join(b"q" + bytes([n]) + b"](h" + bytes([n]) + b"h" + bytes([n]) + b"e" for n in range(200))
        yield "lists of lists", with_pickle(b"\x80\x02" + doubling + b".")
        yield "nesting", with_pickle(b"\x80\x02" + b"(" * 500_000 + b"t" * 500_000 + b".")
        yield "long number", with_pickle(b"\x80\x02I" + b"9" * 2_000_000 + b"\n.")
        yield "long binary number", with_pickle(b"\x80\x02\x8b" + struct.pack("<i", 2_000_000) + b"\x7f" * 2_000_000 + b".")
        yield "compressed entries", zipped_of({**parts, "archive/data/0": bytes(300 << 20)}, zipfile.ZIP_DEFLATED)
        yield "a number for a text", with_pickle(b"\x80\x02X\xff\xff\xff\x7f" + b"a.")

    samples = {"zip": zipped, "legacy": legacy, "pickle": parts["archive/data.pkl"]}
    return Reader(read_checkpoint, samples, {"zip": plain, "legacy": plain, "pickle": with_pickle}, bombs)


def zipped_of(parts: Mapping[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how, compresslevel=1) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def saved(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(shape: str, descr: str = "'|u1'", content: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def _npy_bombs() -> Iterator[tuple[str, bytes]]:
    yield "zeros", zipped_of({"images.npy": npy("(300, 1024, 1024)", content=bytes(300 << 20))}, zipfile.ZIP_DEFLATED)
    yield "a large shape", zipped_of({"images.npy": npy("(4000000, 1000, 1000)", content=b"abc")})
    yield "a large type", zipped_of({"images.npy": npy("(3,)", "'|S2000000000'", b"abc")})
    yield "a negative shape", zipped_of({"images.npy": npy("(-1, 5)", content=b"abc")})
    yield "a deep header", zipped_of({"images.npy": npy("(" * 3000)})
    yield "objects", zipped_of({"images.npy": npy("(1,)", "'|O'", pickle.dumps([1]))})
    yield "many entries", zipped_of({f"{n}.npy": b"" for n in range(30_000)})


def _arrays() -> Reader:
    from flax.serialization import msgpack_serialize
    from safetensors.numpy import save

    from generator.sources.weights import read_checkpoint

    samples = {
        "safetensors": save(WEIGHTS),
        "msgpack": msgpack_serialize({"conv": {"kernel": WEIGHTS["conv/kernel"], "bias": WEIGHTS["conv/bias"]}}),
        "npz": saved(**WEIGHTS),
        "npy": npy("(2, 3)", content=b"abcdef"),
    }

    def bombs() -> Iterator[tuple[str, bytes]]:
        yield from _npy_bombs()
        yield "msgpack that nests", b"\x81\xa1a" * 300_000 + b"\xc0"
        yield "msgpack that claims", b"\x81\xa1a\xdd\xff\xff\xff\xff\xc0"
        yield "a long header", struct.pack("<Q", 1 << 62) + b"{" + b" " * 1000
        text = b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}}'
        yield "a large tensor", struct.pack("<Q", len(text)) + text

    packs = dict.fromkeys(samples, plain) | {"npy": lambda content: zipped_of({"images.npy": content})}
    return Reader(read_checkpoint, samples, packs, bombs)


# images and datasets


def _idx() -> Reader:
    from generator.config.datasets import IdxDataset
    from generator.probes.datasets import open_dataset
    from generator.probes.idx import encode_idx

    images = encode_idx(RANDOM.integers(0, 256, (5, 6, 7), np.uint8))
    labels = encode_idx(np.arange(5, dtype=np.int32))
    Path("labels.idx").write_bytes(encode_idx(np.arange(5, dtype=np.uint8)))
    Path("images.idx").write_bytes(images)

    def read(path: Path) -> None:
        """As images, and where it holds none as labels."""
        sections = ({"images": str(path), "labels": "labels.idx"}, {"images": "images.idx", "labels": str(path)})
        with suppress(UserError):
            dataset = open_dataset(IdxDataset(name="d", kind="idx", **sections[0]), Path(), {})
            assert dataset.read(0).dtype == np.uint8
            return
        open_dataset(IdxDataset(name="d", kind="idx", **sections[1]), Path(), {})

    def bombs() -> Iterator[tuple[str, bytes]]:
        large = bytes([0, 0, 8, 3]) + struct.pack(">III", 4000, 1000, 1000)
        yield "a large claim", large + bytes(100)
        yield "zeros in gzip", gzip.compress(large + bytes(600 << 20), 1)
        yield "gzip in gzip", gzip.compress(gzip.compress(large + bytes(100 << 20), 9))
        yield "many dimensions", bytes([0, 0, 8, 32]) + b"\xff" * 128
        yield "classes without names", encode_idx(np.full(5, 2**31 - 1, np.int32))

    packs = {"images": plain, "labels": plain, "gz": plain, "in gz": lambda content: gzip.compress(content, 1)}
    return Reader(read, {"images": images, "labels": labels, "gz": gzip.compress(images), "in gz": images}, packs, bombs)


def tarred(files: Mapping[str, bytes], level: int = 1) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=level) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _cifar() -> Reader:
    from generator.probes.published import read_split

    pixels, labels = RANDOM.integers(0, 256, (2, 3072), np.uint8), [1, 2]
    batch = pickle.dumps({"data": pixels, "labels": labels, "batch_label": "testing batch 1 of 1"}, 2)
    meta = pickle.dumps({"label_names": list("abcdefghij"), "num_vis": 3072}, 2)
    records = b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True))

    def read(path: Path) -> None:
        found = read_split("cifar10", "test", path)
        assert found.images.shape == (len(found.labels), 32, 32, 3)

    def bombs() -> Iterator[tuple[str, bytes]]:
        yield "zeros", gzip.compress(bytes(400 << 20), 1)
        yield "a large member", tarred({"padding": bytes(300 << 20), "test_batch": batch, "batches.meta": meta})
        text = b"T" + struct.pack("<I", 100 << 20) + bytes(100 << 20)
        array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0tR"
        state = b"(K\1(K\1J" + struct.pack("<i", 100 << 20) + b"tcnumpy\ndtype\n(U\2u1tR\x89"
        once = array + state + text + b"r\0\0\0\0tb"
        again = (array + state + b"j\0\0\0\0tb") * 50
        yield "arrays of one text", tarred({"test_batch": b"\x80\2](" + once + again + b"e.", "batches.meta": meta})
        yield "a link", tarred({"../../test_batch": batch, "/etc/batches.meta": meta})

    samples = {
        "archive": tarred({"test_batch": batch, "batches.meta": meta}),
        "batch": batch,
        "meta": meta,
        "tar": b"",
        "bin": records,
    }
    samples["tar"] = gzip.decompress(samples["archive"])
    packs = {
        "archive": plain,
        "batch": lambda content: tarred({"test_batch": content, "batches.meta": meta}),
        "meta": lambda content: tarred({"test_batch": batch, "batches.meta": content}),
        "tar": lambda content: gzip.compress(content, 1),
        "bin": lambda content: tarred({"test_batch.bin": content, "batches.meta.txt": b"a\nb\nc\n"}),
    }
    return Reader(read, samples, packs, bombs)


def _npz() -> Reader:
    from generator.config.datasets import NpzDataset
    from generator.probes.datasets import open_dataset

    def read(path: Path) -> None:
        dataset = open_dataset(NpzDataset(name="d", kind="npz", path=str(path)), Path(), {})
        assert dataset.read(0).dtype == np.uint8

    images, labels = RANDOM.random((4, 3, 5, 6)).astype(np.float32), np.array([0, 1, 1, 0])
    sound = saved(images=images, labels=labels, label_names=np.array(["a", "b"]))
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    samples = {"npz": sound, **parts}
    packs = {name: lambda content, name=name: zipped_of({**parts, name: content}) for name in parts}
    return Reader(read, samples, {"npz": plain, **packs}, _npy_bombs)


def _csv() -> Reader:
    from generator.config.datasets import CsvDataset
    from generator.probes.datasets import open_dataset

    PICTURE.save("a.png")
    text = "path,label,note\n" + 'a.png,dog,"x, y"\na.png,cät,\n' * 3

    def read(path: Path) -> None:
        dataset = open_dataset(CsvDataset(name="d", kind="csv", path=str(path)), Path(), {})
        assert dataset.read(0).shape == (9, 14, 3)

    def bombs() -> Iterator[tuple[str, bytes]]:
        yield "commas", b"," * (8 << 20)
        yield "a long field", b"path\n" + b"a" * (8 << 20)
        yield "rows", b"path\n" + b"x\n" * 60_000
        yield "quotes", b'"' * (4 << 20)
        yield "zeros", bytes(4 << 20)
        yield "long names", b"path,label\n" + (b"x" * 100_000 + b",a\n") * 80

    return Reader(read, {"comma": text.encode(), "tab": text.replace(",", "\t").encode("utf-8-sig")}, {}, bombs)


def _images() -> Reader:
    from generator.probes.images import read_header, read_image

    def read(path: Path) -> None:
        header, pixels = read_header(path), read_image(path)
        assert pixels.shape == (header.height_px, header.width_px, header.channels) or "shrunk" in header.note

    grey = Image.fromarray(RANDOM.integers(0, 65536, (7, 5), np.uint16))
    samples = {
        **{f: encoded(PICTURE, f) for f in ("PNG", "JPEG", "WEBP", "BMP", "PPM", "JPEG2000")},
        "GIF": encoded(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(180)]),
        "TIFF": encoded(PICTURE, "TIFF", compression="tiff_lzw"),
        "16 bits": encoded(grey, "PNG"),
        "float": encoded(Image.fromarray(RANDOM.random((4, 5)).astype(np.float32)), "TIFF"),
        "RGBA": encoded(PICTURE.convert("RGBA"), "PNG"),
        "CMYK": encoded(PICTURE.convert("CMYK"), "JPEG"),
    }

    def bombs() -> Iterator[tuple[str, bytes]]:
        for name in ("PNG", "GIF", "BMP"):
            at, form = {"PNG": (16, ">II"), "GIF": (6, "<HH"), "BMP": (18, "<ii")}[name]
            for sides in ((60_000, 60_000), (9_999, 9_999), (1, 2**31 - 1), (30_000, 3_000)):
                packed = struct.pack(form, *(min(side, 65_535) if name == "GIF" else side for side in sides))
                yield f"{name} {sides}", samples[name][:at] + packed + samples[name][at + len(packed) :]
        yield "PPM", b"P6 99999 99999 255\n" + bytes(100)
        yield "JPEG", samples["JPEG"].replace(struct.pack(">HH", 9, 14), struct.pack(">HH", 65_000, 65_000))
        yield "text", encoded(PICTURE, "PNG", exif=bytes(1 << 20))

    return Reader(read, samples, {}, bombs)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
