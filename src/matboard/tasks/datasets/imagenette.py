"""ImageNette (Howard 2019): ten easily told classes of ImageNet; its validation part is the test
part here.
"""

from matboard.tasks.datasets.image_classes import HubTable, ImageClasses

_FOLDERS = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}

IMAGENETTE = ImageClasses(
    name="imagenette",
    classes=tuple(_FOLDERS.values()),
    hub=HubTable("frgfm/imagenette", "320px", splits=("train", "validation")),
    folders=_FOLDERS,
)
