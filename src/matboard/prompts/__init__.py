"""What is learned: pixel prompts, the canvas they are composed on, and the artefact they become."""
