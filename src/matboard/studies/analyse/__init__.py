"""Look into models with and without prompts: features and gradients, one unit a model."""
