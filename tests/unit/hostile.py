"""Files that nobody should trust, made from a seed: every reader is given thousands of them.

A *case* is a name and the content of one file; `lay` puts it where a reader looks for it.
"""

from __future__ import annotations

import io
import itertools
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM")


@dataclass(frozen=True)
class Case:
    """A file for one of the readers.

    Attributes:
        suffix: tells which reader: ``.jsonl``, ``.npz``, ``.parquet``, or ``.png`` for a picture
            of any format in a class folder.
    """

    name: str
    suffix: str
    content: bytes


def lay(case: Case, folder: Path) -> Path:
    """Write a case beside whole pictures; returns what a user would name."""
    for part, name in itertools.product(("train", "test"), ("cat", "dog")):
        place = folder / "pictures" / part / name
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "whole.png").exists():
            (place / "whole.png").write_bytes(picture("PNG"))
    if case.suffix == ".png":
        (folder / "pictures/train/cat/case.png").write_bytes(case.content)
        return folder / "pictures"
    file = folder / f"case{case.suffix}"
    file.write_bytes(case.content)
    return file


# Whole files
# ------------------------------------------------------------------------------------------------


def picture(format: str) -> bytes:
    """A small picture with EXIF data where the format has any."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    exif[0x011A] = 72.0
    exif[0x8769] = {0x9000: b"0230", 0x9286: b"abc"}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    out = io.BytesIO()
    pixels = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    pixels.save(
        out, format, **({"exif": exif} if format in ("PNG", "JPEG", "WEBP") else {})
    )
    return out.getvalue()


def arrays() -> dict[str, Any]:
    """A packed picture set of four pictures, with questions."""
    blobs = [picture(format) for format in FORMATS[:4]]
    return {
        "data": np.frombuffer(b"".join(blobs), dtype=np.uint8),
        "offsets": np.cumsum([0, *map(len, blobs)]),
        "labels": np.array([0, 1, 0, 1]),
        "names": np.array(["a.png", "b.png", "c.png", "d.png"]),
        "classes": np.array(["cat", "sea_horse"]),
        "question": np.array(["one?", "one?", "two?", "two?"]),
        "answer": np.array(["yes", "no", "3", "4"]),
        "question_image": np.array([0, 1, 2, 3]),
    }


def columns() -> dict[str, Any]:
    """A table of four pictures with questions."""
    return {
        "image": [{"bytes": picture("PNG"), "path": "a.png"}] * 4,
        "question": ["one?", "one?", "two?", "two?"],
        "answer": ["yes", "no", "3", "4"],
        "label": [0, 1, 0, 1],
        "split": ["train", "test", "train", "test"],
    }


def lines() -> list[dict[str, Any]]:
    """Four pictures with questions."""
    answers = ("yes", "no", "yes", "no")
    found = []
    for number, answer in enumerate(answers):
        part = "test" if number % 2 else "train"
        image = f"pictures/{part}/cat/whole.png"
        found.append(
            {"image": image, "question": "Is it?", "answer": answer, "id": str(number)}
        )
    return found


def packed(found: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **found)
    return out.getvalue()


def table(found: dict[str, Any] | pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(found if isinstance(found, pa.Table) else pa.table(found), out)
    return out.getvalue()


def written(found: list[Any]) -> bytes:
    return "\n".join(json.dumps(line) for line in found).encode()


def whole() -> list[Case]:
    """Files with which nothing is wrong."""
    packs = [
        Case("jsonl", ".jsonl", written(lines())),
        Case("npz", ".npz", packed(arrays())),
        Case("parquet", ".parquet", table(columns())),
    ]
    return packs + [Case(format, ".png", picture(format)) for format in FORMATS]


# Fields that hold what they should not
# ------------------------------------------------------------------------------------------------

ODD_JSON = {
    "null": "null",
    "true": "true",
    "zero": "0",
    "minus": "-1",
    "float": "1.5",
    "nan": "NaN",
    "infinity": "-Infinity",
    "huge": "1e999",
    "digits": "9" * 5000,
    "empty": '""',
    "blank": '"  "',
    "nul": '"a\\u0000b"',
    "surrogate": '"\\ud800"',
    "newline": '"one\\ntwo"',
    "long": json.dumps("x" * 100_000),
    "list": "[]",
    "listed": '["a", "b"]',
    "nested": '[["a"], null, {}]',
    "object": '{"a": {"a": 1}}',
    "deep": "[" * 50_000 + "]" * 50_000,
    "device": '"/dev/zero"',
    "folder": '"pictures"',
    "up": '"../../../../etc/passwd"',
    "markup": '"[/] [bold]"',
}


def odd_lines() -> Iterator[Case]:
    """Every field with every odd value, and lines that are no objects."""
    fields = (
        "image",
        "question",
        "answer",
        "answers",
        "candidates",
        "caption",
        "id",
        "split",
    )
    for field, (name, value) in itertools.product(fields, ODD_JSON.items()):
        first, *rest = lines()
        first.pop(field, None)
        line = json.dumps(first)[:-1] + f', "{field}": {value}}}'
        yield Case(
            f"jsonl {field} {name}", ".jsonl", line.encode() + b"\n" + written(rest)
        )
    for name, value in ODD_JSON.items():
        yield Case(
            f"jsonl line {name}", ".jsonl", value.encode() + b"\n" + written(lines())
        )
    many = json.dumps({f"imag{number}": 0 for number in range(50_000)})
    yield Case("jsonl many fields", ".jsonl", many.encode())
    yield Case("jsonl zeros", ".jsonl", bytes(2**21))


def odd_arrays() -> Iterator[Case]:
    """Every array missing, and with every odd type and shape."""
    odd = {
        "missing": None,
        "none": np.array([]),
        "scalar": np.array(3),
        "square": np.zeros((4, 4), dtype=np.int64),
        "floats": np.array([0.0, np.nan, np.inf, 1.0]),
        "minus": np.array([-5, -1, -1, -9]),
        "large": np.array([2**63, 1, 2**63, 5], dtype=np.uint64),
        "falling": np.array([9, 5, 3, 2, 1]),
        "bools": np.array([True, False, True, False]),
        "bytes": np.array([b"a\xff", b"b", b"c", b"d"]),
        "texts": np.array(["", " ", "a\nb", "x" * 5000]),
        "surrogates": np.array([chr(0xD800), "b", "c", "d"]),
        "same": np.array(["a", "a", "a", "a"]),
        "objects": np.array([{}, None, [], 1], dtype=object),
        "dates": np.array(["2020-01-01"] * 4, dtype="datetime64[D]"),
        "complex": np.array([1j, 2, 3, 4]),
        "fields": np.array([(1, 2.0)] * 4, dtype=[("a", "i4"), ("b", "f8")]),
        "void": np.array([b"ab"] * 4, dtype="V2"),
    }
    for key, (name, value) in itertools.product(arrays(), odd.items()):
        found = {**arrays(), key: value}
        kept = {k: v for k, v in found.items() if v is not None}
        yield Case(f"npz {key} {name}", ".npz", packed(kept))
    for key, (name, value) in itertools.product(
        ("labels", "names", "classes"), odd.items()
    ):
        found = {k: v for k, v in arrays().items() if k not in ("question", "answer")}
        found.pop("question_image")
        found[key] = value
        kept = {k: v for k, v in found.items() if v is not None}
        yield Case(f"npz classes only {key} {name}", ".npz", packed(kept))


def odd_columns() -> Iterator[Case]:
    """Every column missing, and with every odd type."""
    odd: dict[str, Any] = {
        "missing": None,
        "nulls": pa.nulls(4),
        "bools": [True, False, None, True],
        "minus": [-1, 5, 2**40, 0],
        "floats": [0.0, float("nan"), float("inf"), None],
        "texts": ["", " ", "a\nb", "x" * 5000],
        "no texts": pa.array([b"\xff\xfe"] * 4).view(pa.binary()).view(pa.string()),
        "bytes": [b"", b"\xff", b"abc", None],
        "lists": [[], ["a"], [None], None],
        "structs": [
            {"bytes": b"x", "path": None},
            {"bytes": None, "path": None},
            None,
            {},
        ],
        "structs of text": [{"bytes": "x", "path": 3}] * 4,
        "dates": pa.array([0, 2**62, -(2**62), None], pa.timestamp("ns")),
        "milliseconds": pa.array([0, 2**62, -(2**62), None], pa.timestamp("ms")),
        "decimals": pa.array([1, 2, 3, 4]).cast(pa.decimal128(38, 2)),
        "dictionary": pa.array(["a", "b", "a", "b"]).dictionary_encode(),
        "paths": ["pictures", "/dev/zero", "\0", "../../etc/passwd"],
    }
    keys = (*columns(), "answers", "candidates", "id", "caption")
    for key, (name, value) in itertools.product(keys, odd.items()):
        found = {**columns(), key: value}
        kept = {k: v for k, v in found.items() if v is not None}
        yield Case(f"parquet {key} {name}", ".parquet", table(kept))
    for key, (name, value) in itertools.product(("label", "image"), odd.items()):
        found = {**columns(), key: value}
        kept = {k: v for k, v in found.items() if v is not None and k != "answer"}
        yield Case(f"parquet no answer {key} {name}", ".parquet", table(kept))
    metadata = (
        "{",
        "[]",
        "null",
        '{"info": 3}',
        '{"info": {"features": {"label": []}}}',
        "\xff",
    )
    names = (
        '{"names": [1, null]}',
        '{"names": "cat"}',
        '{"names": {}}',
        '{"names": ["", " "]}',
    )
    metadata += tuple(
        f'{{"info": {{"features": {{"label": {said}}}}}}}' for said in names
    )
    bare = {k: v for k, v in columns().items() if k != "answer"}
    for number, said in enumerate((*metadata, "[" * 50_000)):
        marked = pa.table(bare).replace_schema_metadata(
            {"huggingface": said.encode("latin-1")}
        )
        yield Case(f"parquet metadata {number}", ".parquet", table(marked))
    twice = pa.table(columns())
    for column in ("image", "label", "answer"):
        doubled = twice.append_column(column, twice.column(column))
        yield Case(f"parquet {column} twice", ".parquet", table(doubled))


def bombs() -> Iterator[Case]:
    """Small files that claim to be, or unpack to be, very large."""
    yield Case("png 60000 x 60000", ".png", _png_of_size(60_000, 60_000))
    yield Case("png 9400 x 9400", ".png", _png_of_size(9_400, 9_400))
    rows = pa.table({"image": pa.nulls(50_000_000)})
    yield Case("parquet 50 million rows", ".parquet", table(rows))


def _png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (
        chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


# Damage
# ------------------------------------------------------------------------------------------------


def damaged(count: int, seed: int) -> Iterator[Case]:
    """So many damaged copies of every whole file."""
    rng = np.random.default_rng(seed)
    for base in whole():
        for number in range(count):
            content = _damage(base.content, rng)
            yield Case(f"{base.name} damaged {number}", base.suffix, content)


def _damage(content: bytes, rng: np.random.Generator) -> bytes:
    found = bytearray(content)
    kind = rng.integers(6)
    place = int(rng.integers(len(found)))
    if kind == 0:
        return bytes(found[:place])
    if kind == 1:
        return bytes(found[place:])
    if kind == 2:
        return bytes(
            found[:place] + rng.bytes(int(rng.integers(1, 50))) + found[place:]
        )
    if kind == 3:
        return bytes(
            found[:place] + bytes(int(rng.integers(1, 50))) + found[place + 8 :]
        )
    spread = len(found) if kind == 4 else 64  # all over, or close together
    for _ in range(int(rng.integers(1, 6))):
        at = (place + int(rng.integers(spread))) % len(found)
        any_byte = int(rng.integers(256))
        found[at] = int(rng.choice([0, 1, 127, 128, 255, any_byte]))
    return bytes(found)
