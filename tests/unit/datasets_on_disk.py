"""Small data sets, laid out on the disk as their authors' archives unpack."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def picture(colour: Sequence[int] = (255, 0, 0), size: int = 8) -> Image.Image:
    return Image.new("RGB", (size, size), tuple(colour))


def save(path: Path, colour: Sequence[int] = (255, 0, 0), size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(colour, size).save(path)


def png(colour: Sequence[int] = (255, 0, 0), size: int = 8) -> bytes:
    out = io.BytesIO()
    picture(colour, size).save(out, "PNG")
    return out.getvalue()


class Python2Pickle:
    """What cPickle of Python 2 writes, protocol 2, for what CIFAR's files hold."""

    def __init__(self) -> None:
        self.out = b"\x80\x02"
        self.places = 0

    def put(self) -> None:
        self.places += 1
        self.out += b"r" + struct.pack("<I", self.places)

    def write(self, value: object) -> None:
        if isinstance(value, dict):
            self.out += b"}"
            self.put()
            self.out += b"("
            for name, entry in value.items():
                self.write(name)
                self.write(entry)
            self.out += b"u"
        elif isinstance(value, list):
            self.out += b"]"
            self.put()
            self.out += b"("
            for entry in value:
                self.write(entry)
            self.out += b"e"
        elif isinstance(value, str):
            self.out += b"T" + struct.pack("<I", len(value)) + value.encode("latin-1")
            self.put()
        elif isinstance(value, int):
            self.out += b"J" + struct.pack("<i", value)
        else:
            self.array(np.asarray(value))

    def array(self, values: np.ndarray) -> None:
        rows, columns = values.shape
        content = values.tobytes()
        self.out += b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
        self.out += b"K\x00\x85U\x01btR(K\x01"
        self.out += b"J" + struct.pack("<i", rows) + b"J" + struct.pack("<i", columns)
        self.out += b"\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
        self.out += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        self.out += b"T" + struct.pack("<I", len(content)) + content + b"tb"

    @classmethod
    def dump(cls, path: Path, value: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        one = cls()
        one.write(value)
        path.write_bytes(one.out + b".")


def rows(*colours: Sequence[int]) -> np.ndarray:
    """CIFAR's rows of pictures of one colour each; the first pixel is black."""
    made = np.zeros((len(colours), 3, 32, 32), np.uint8)
    made += np.array(colours, np.uint8)[:, :, None, None]
    made[:, :, 0, 0] = 0
    return made.reshape(len(colours), 3072)


CIFAR10 = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]


def cifar10(data: Path) -> Path:
    root = data / "cifar-10-batches-py"
    Python2Pickle.dump(
        root / "batches.meta", {"num_cases_per_batch": 2, "label_names": CIFAR10}
    )
    for number in range(1, 6):
        Python2Pickle.dump(
            root / f"data_batch_{number}",
            {
                "batch_label": f"training batch {number} of 5",
                "labels": [number, 0],
                "data": rows((number, 20, 30), (0, 1, 2)),
                "filenames": ["a.png", "b.png"],
            },
        )
    Python2Pickle.dump(root / "test_batch", {"labels": [9], "data": rows((9, 20, 30))})
    return root


def jsonl(path: Path, *lines: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def pets(data: Path) -> Path:
    root = data / "oxford-iiit-pet"
    text(
        root / "annotations/trainval.txt",
        "# Image CLASS-ID SPECIES BREED ID",
        "Abyssinian_100 1 1 1",
        "american_bulldog_100 2 2 1",
        "american_bulldog_101 2 2 1",
    )
    text(root / "annotations/test.txt", "yorkshire_terrier_1 37 2 25")
    for number, stem in enumerate(
        ["Abyssinian_100", "american_bulldog_100", "yorkshire_terrier_1"]
    ):
        save(root / f"images/{stem}.jpg", (number, 0, 0))
    return root


def aircraft(data: Path) -> Path:
    root = data / "fgvc-aircraft-2013b"
    text(
        root / "data/images_variant_trainval.txt",
        "1025794 707-320",
        "0034309 F-16A/B",
    )
    text(root / "data/images_variant_test.txt", "1514522 Cessna 172")
    for number in ("1025794", "0034309", "1514522"):
        save(root / f"data/images/{number}.jpg")
    return root


def food101(data: Path) -> Path:
    root = data / "food-101"
    text(root / "meta/train.txt", "apple_pie/1005649", "waffles/7")
    text(root / "meta/test.txt", "apple_pie/1011328")
    for name in ("apple_pie/1005649", "waffles/7", "apple_pie/1011328"):
        save(root / f"images/{name}.jpg")
    return root


def svhn(data: Path) -> Path:
    from scipy.io import savemat

    root = data / "svhn"
    root.mkdir(parents=True)
    for name, labels in (("train", [1, 10, 9]), ("test", [2])):
        pictures = np.zeros((32, 32, 3, len(labels)), np.uint8)
        pictures[:, 5, 0, :] = np.array(labels)
        y = np.array(labels, np.uint8)[:, None]
        savemat(
            root / f"{name}_32x32.mat", {"X": pictures, "y": y}, do_compression=True
        )
    return root


def clevr(data: Path) -> Path:
    root = data / "CLEVR_v1.0"
    for part, counts in (("train", [3, 10, 5]), ("val", [4, 3])):
        scenes = []
        for number, count in enumerate(counts):
            name = f"CLEVR_{part}_{number:06d}.png"
            save(root / f"images/{part}/{name}")
            things = [{"shape": "cube", "3d_coords": [0.5, 1.0, 2.0]}] * count
            scenes.append({"image_filename": name, "objects": things})
        path = root / f"scenes/CLEVR_{part}_scenes.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"info": {"split": part}, "scenes": scenes}))
    return root


def hateful_memes(data: Path, dev: str = "dev_seen.jsonl") -> Path:
    root = data / "hateful_memes"
    memes = [
        {
            "id": 42953,
            "img": "img/42953.png",
            "label": 0,
            "text": "its their character",
        },
        {"id": 23058, "img": "img/23058.png", "label": 1, "text": "don't be afraid"},
    ]
    jsonl(root / "train.jsonl", *memes)
    one = {"id": 8291, "img": "img/08291.png", "label": 1, "text": "white people"}
    jsonl(root / dev, one)
    for name in ("42953", "23058", "08291"):
        save(root / f"img/{name}.png")
    return root


def pope(data: Path, kind: str = "adversarial") -> Path:
    root = data / "pope"
    asked = []
    for number, name in enumerate(("a", "b", "c")):
        picture_name = f"COCO_val2014_{name}.jpg"
        save(root / f"val2014/{picture_name}", (number, 0, 0))
        for thing, label in (("dog", "yes"), ("orange", "no"), ("cat", "yes")):
            article = "an" if thing[0] == "o" else "a"
            question = f"Is there {article} {thing} in the image?"
            asked.append(
                {
                    "question_id": len(asked) + 1,
                    "image": picture_name,
                    "text": question,
                    "label": label,
                }
            )
    jsonl(root / f"coco_pope_{kind}.json", *asked)
    return root
