"""The mini zoo: connectors between pretrained eyes and language models."""
