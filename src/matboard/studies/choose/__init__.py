"""Which of several prompts to use with a model, if any: asked anew, or from kept answers."""
