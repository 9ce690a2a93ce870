"""Every transformers image-text-to-text model, driven in one way."""
