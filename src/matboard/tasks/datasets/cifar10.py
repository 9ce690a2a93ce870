"""CIFAR-10 (Krizhevsky 2009): 32 × 32 pictures, 50,000 to train and 10,000 to test."""

from matboard.tasks.datasets.image_classes import ImageClasses
from matboard.tasks.datasets.sources import Facts, HubTable, Layout
from matboard.tasks.readers.cifar_batches import cifar10_records
from matboard.tasks.readers.parquet import Columns

_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
_CLASSES = tuple(_NAMES.split())

CIFAR10 = ImageClasses(
    name="cifar10",
    classes=_CLASSES,
    hub=HubTable(
        "uoft-cs/cifar10", "plain_text", columns=Columns("img", classes=_CLASSES)
    ),
    layout=Layout(("cifar-10-batches-py",), "batches.meta", cifar10_records),
    facts=Facts(sizes=(50_000, 10_000)),
)
