"""``python -m matboard``."""

from matboard.cli import main

main()
