"""CIFAR-100 (Krizhevsky 2009): 32 × 32 pictures, 500 to train and 100 to test of each of the 100
fine classes.
"""

from matboard.tasks.datasets.image_classes import ImageClasses, class_names
from matboard.tasks.datasets.sources import Facts, HubTable, Layout
from matboard.tasks.readers.cifar_batches import cifar100_records
from matboard.tasks.readers.parquet import Columns

_CLASSES = class_names("""\
apple, aquarium fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge,
bus, butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud,
cockroach, couch, crab, crocodile, cup, dinosaur, dolphin, elephant, flatfish, forest, fox,
girl, hamster, house, kangaroo, keyboard, lamp, lawn mower, leopard, lion, lizard, lobster, man,
maple tree, motorcycle, mountain, mouse, mushroom, oak tree, orange, orchid, otter, palm tree,
pear, pickup truck, pine tree, plain, plate, poppy, porcupine, possum, rabbit, raccoon, ray,
road, rocket, rose, sea, seal, shark, shrew, skunk, skyscraper, snail, snake, spider, squirrel,
streetcar, sunflower, sweet pepper, table, tank, telephone, television, tiger, tractor, train,
trout, tulip, turtle, wardrobe, whale, willow tree, wolf, woman, worm""")

CIFAR100 = ImageClasses(
    name="cifar100",
    classes=_CLASSES,
    hub=HubTable(
        "uoft-cs/cifar100", "cifar100", columns=Columns("img", "fine_label", _CLASSES)
    ),
    layout=Layout(("cifar-100-python",), "meta", cifar100_records),
    facts=Facts(sizes=(50_000, 10_000)),
)
