"""Image processors that gradients pass through, and their comparison with the official ones."""
