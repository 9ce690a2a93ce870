"""Food-101 (Bossard et al. 2014): 101 dishes, 750 pictures to train and 250 to test of each."""

from matboard.tasks.datasets.image_classes import ImageClasses, class_names
from matboard.tasks.datasets.sources import Facts, HubTable, Layout
from matboard.tasks.readers.lists import Lists
from matboard.tasks.readers.parquet import Columns

_CLASSES = class_names("""\
apple pie, baby back ribs, baklava, beef carpaccio, beef tartare, beet salad, beignets,
bibimbap, bread pudding, breakfast burrito, bruschetta, caesar salad, cannoli, caprese salad,
carrot cake, ceviche, cheesecake, cheese plate, chicken curry, chicken quesadilla,
chicken wings, chocolate cake, chocolate mousse, churros, clam chowder, club sandwich,
crab cakes, creme brulee, croque madame, cup cakes, deviled eggs, donuts, dumplings, edamame,
eggs benedict, escargots, falafel, filet mignon, fish and chips, foie gras, french fries,
french onion soup, french toast, fried calamari, fried rice, frozen yogurt, garlic bread,
gnocchi, greek salad, grilled cheese sandwich, grilled salmon, guacamole, gyoza, hamburger,
hot and sour soup, hot dog, huevos rancheros, hummus, ice cream, lasagna, lobster bisque,
lobster roll sandwich, macaroni and cheese, macarons, miso soup, mussels, nachos, omelette,
onion rings, oysters, pad thai, paella, pancakes, panna cotta, peking duck, pho, pizza,
pork chop, poutine, prime rib, pulled pork sandwich, ramen, ravioli, red velvet cake, risotto,
samosa, sashimi, scallops, seaweed salad, shrimp and grits, spaghetti bolognese,
spaghetti carbonara, spring rolls, steak, strawberry shortcake, sushi, tacos, takoyaki,
tiramisu, tuna tartare, waffles""")


def _line(line: str) -> tuple[str, str]:
    """``apple_pie/1005649``: class and picture."""
    dish, number = line.split("/")
    return f"{dish}/{int(number)}.jpg", dish


_LISTS = Lists(
    train="meta/train.txt",
    test="meta/test.txt",
    pictures="images",
    line=_line,
    form="a class and a picture's number, such as apple_pie/1005649",
)

FOOD101 = ImageClasses(
    name="food101",
    classes=_CLASSES,
    hub=HubTable(
        "ethz/food101", test=("validation",), columns=Columns(classes=_CLASSES)
    ),
    layout=Layout(("food-101",), _LISTS.train, _LISTS),
    facts=Facts(sizes=(75_750, 25_250)),
)
