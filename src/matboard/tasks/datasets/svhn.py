"""SVHN, cropped digits (Netzer et al. 2011): 32 × 32 pictures of house numbers, each centred on one
digit.
"""

from matboard.tasks.datasets.image_classes import ImageClasses
from matboard.tasks.datasets.sources import Facts, HubTable, Layout
from matboard.tasks.readers.parquet import Columns
from matboard.tasks.readers.svhn_mat import svhn_records

_DIGITS = tuple("0123456789")

SVHN = ImageClasses(
    name="svhn",
    classes=_DIGITS,
    hub=HubTable(
        "ufldl-stanford/svhn", "cropped_digits", columns=Columns(classes=_DIGITS)
    ),
    layout=Layout(("svhn", "SVHN"), "train_32x32.mat", svhn_records),
    # The TVP authors publish no wording for SVHN; these two are ours.
    question="This is a photo of the number",
    caption="this is a photo of the number {name}",
    # A mirrored 2 is no 2.
    facts=Facts(mirror=False, sizes=(73_257, 26_032)),
)
