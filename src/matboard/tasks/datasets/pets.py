"""Oxford-IIIT Pets (Parkhi et al. 2012): 37 breeds of cats and dogs, the authors' ``trainval`` to
learn from and ``test`` to be judged by.
"""

from matboard.tasks.datasets.image_classes import ImageClasses, class_names
from matboard.tasks.datasets.sources import Facts, HubTable, Layout
from matboard.tasks.readers.lists import Lists
from matboard.tasks.readers.parquet import Columns

_CLASSES = class_names("""\
Abyssinian, American Bulldog, American Pit Bull Terrier, Basset Hound, Beagle, Bengal, Birman,
Bombay, Boxer, British Shorthair, Chihuahua, Egyptian Mau, English Cocker Spaniel,
English Setter, German Shorthaired, Great Pyrenees, Havanese, Japanese Chin, Keeshond,
Leonberger, Maine Coon, Miniature Pinscher, Newfoundland, Persian, Pomeranian, Pug, Ragdoll,
Russian Blue, Saint Bernard, Samoyed, Scottish Terrier, Shiba Inu, Siamese, Sphynx,
Staffordshire Bull Terrier, Wheaten Terrier, Yorkshire Terrier""")


def _line(line: str) -> tuple[str, str]:
    """``american_bulldog_100 2 2 1``: the picture, and numbers of class, species and breed."""
    stem, _, _, _ = line.split()
    breed, _, number = stem.rpartition("_")
    int(number)
    return f"{stem}.jpg", breed


_LISTS = Lists(
    train="annotations/trainval.txt",
    test="annotations/test.txt",
    pictures="images",
    line=_line,
    form="picture, class, species and breed, such as Abyssinian_100 1 1 1",
)

PETS = ImageClasses(
    name="pets",
    classes=_CLASSES,
    hub=HubTable(
        "timm/oxford-iiit-pet",
        columns=Columns(classes=_CLASSES),
    ),
    layout=Layout(("oxford-iiit-pet", "oxford_iiit_pet"), _LISTS.train, _LISTS),
    facts=Facts(sizes=(3_680, 3_669)),
)
