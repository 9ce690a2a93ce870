"""What the training pictures may be called: their own name first, then broader ones.

Broad names come from the taxonomic order of ImageNet's 1,000 classes (Tiny-ImageNet's are found
through their WordNet ids) and from lists by hand. They are what lets a connector answer "frog" or
"ship", which no training set has as a class. Antelopes stand in for deer, of which there are no
pictures.
"""

from __future__ import annotations

from collections.abc import Iterable

_IMAGENET_RANGES: dict[str, str] = {
    "fish": "0-6 389-397",
    "shark": "2-4",
    "bird": "7-24 80-100 127-146",
    "salamander": "25-29",
    "frog": "30-32",
    "turtle": "33-37",
    "lizard": "38-48",
    "crocodile": "49-50",
    "snake": "52-68",
    "spider": "72-77",
    "crab": "118-121",
    "lobster": "122-124",
    "whale": "147-148",
    "dog": "151-268",
    "wolf": "269-272",
    "fox": "277-280",
    "cat": "281-285",
    "big cat": "286-293",
    "bear": "294-297",
    "beetle": "300-307",
    "insect": "300-320",
    "butterfly": "321-326",
    "rabbit": "330-332",
    "horse": "339 603",
    "pig": "341-343",
    "cow": "345-347",
    "sheep": "348-349",
    "goat": "350",
    "deer": "351-353",
    "ape": "365-369",
    "monkey": "370-384",
    "elephant": "101 385-386",
    "panda": "387-388",
    "animal": "7-20 269-297 330-388",
    "airplane": "404 895",
    "ship": "403 472 484 510 554 576 625 628 724 780 814 871 914",
    "boat": "472 484 554 576 625 814 871 914",
    "car": "436 468 511 609 627 656 661 751 817",
    "automobile": "436 468 511 609 627 656 661 751 817",
    "truck": "555 569 675 717 864 867",
    "bus": "654 779 874",
    "train": "466 547 565 705 820 829",
    "bicycle": "444 671",
    "motorcycle": "665 670",
    "bottle": "440 720 737 898 907",
    "ball": "429 430 522 574 722 768 805 852 890",
    "chair": "423 559 765 857",
    "guitar": "402 546",
    "building": "425 449 483 497 498 500 580 663 668 698 727 832 860",
    "bridge": "821 839 888",
    "clock": "409 530 892",
    "hat": "439 452 515 808",
    "computer": "527 590 620 681",
    "musical instrument": (
        "401 402 420 432 486 513 541 546 558 566 579 593 594 683 684 687 699 776 875 881 889"
    ),
    "fruit": "948-957",
    "vegetable": "936-946",
    "mushroom": "991-997",
    "food": "924-935 959-965",
    "mountain": "970 980",
}

_CIFAR100: dict[str, str] = {
    "fish": "aquarium_fish flatfish ray shark trout",
    "insect": "bee beetle cockroach",
    "big cat": "leopard lion tiger",
    "cow": "cattle",
    "flower": "orchid poppy rose sunflower tulip",
    "tree": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "person": "baby boy girl man woman",
    "truck": "pickup_truck",
    "train": "train streetcar",
    "fruit": "apple orange pear",
    "building": "castle house skyscraper",
    "animal": (
        "bear beaver camel cattle chimpanzee elephant fox hamster kangaroo leopard lion mouse otter"
        " porcupine possum rabbit raccoon shrew skunk squirrel tiger wolf"
    ),
    "ape": "chimpanzee",
}

_COCO: dict[str, str] = {"automobile": "car", "ship": "boat"}


def _expand(ranges: str) -> set[int]:
    spans = [part.split("-") for part in ranges.split()]
    return {i for span in spans for i in range(int(span[0]), int(span[-1]) + 1)}


_IMAGENET = {broad: _expand(ranges) for broad, ranges in _IMAGENET_RANGES.items()}


def imagenet_names(index: int, own: str) -> tuple[str, ...]:
    """Own name of ImageNet class ``index`` (0–999), then its broader ones."""
    return _unique(
        own.split(",")[0],
        (broad for broad, members in _IMAGENET.items() if index in members),
    )


def cifar100_names(own: str) -> tuple[str, ...]:
    """Own name of a CIFAR-100 class, underscores as spaces, then its broader ones."""
    return _unique(
        own.replace("_", " "),
        (broad for broad, members in _CIFAR100.items() if own in members.split()),
    )


def coco_names(own: str) -> tuple[str, ...]:
    """Own name of a COCO object, then its broader ones."""
    return _unique(
        own, (broad for broad, members in _COCO.items() if own in members.split())
    )


def _unique(own: str, broad: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([own, *broad]))


def broad_names() -> tuple[str, ...]:
    """Every broader name, once."""
    return tuple(dict.fromkeys([*_IMAGENET_RANGES, *_CIFAR100]))
