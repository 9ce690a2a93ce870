"""CIFAR-10 (Krizhevsky 2009): 32 × 32 pictures, 50,000 to train and 10,000 to test."""

from matboard.tasks.datasets.image_classes import HubTable, ImageClasses

CIFAR10 = ImageClasses(
    name="cifar10",
    classes=(
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
    ),
    hub=HubTable("uoft-cs/cifar10", "plain_text", image="img"),
)
