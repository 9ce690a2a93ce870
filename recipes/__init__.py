"""What trained the models that matboard ships; no user needs it, and the wheel does not hold it."""
