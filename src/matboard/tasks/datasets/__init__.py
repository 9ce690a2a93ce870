"""Public data sets, one file each: wording, classes, and where the pictures are."""
