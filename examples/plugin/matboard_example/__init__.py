"""What this package adds to matboard, one file each; see ``pyproject.toml`` for the names."""
