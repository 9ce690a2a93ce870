"""Search for the settings of a study: ranges, shared trials, and what a trial is scored by."""
