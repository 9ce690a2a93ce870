"""ImageNette (Howard 2019): ten easily told classes of ImageNet; its validation part is the test
part here. The sizes are those of its second version.
"""

from matboard.tasks.datasets.image_classes import ImageClasses
from matboard.tasks.datasets.sources import Facts, HubTable, Layout
from matboard.tasks.readers.folders import folder_records
from matboard.tasks.readers.parquet import Columns

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
    hub=HubTable(
        "frgfm/imagenette",
        "320px",
        test=("validation",),
        columns=Columns(classes=tuple(_FOLDERS.values())),
    ),
    layout=Layout(
        ("imagenette2", "imagenette2-320", "imagenette2-160"),
        "train/n01440764",
        folder_records,
    ),
    folders=_FOLDERS,
    facts=Facts(sizes=(9_469, 3_925)),
)
