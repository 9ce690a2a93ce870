"""Runs side by side: which of their samples are the same, and what they come to."""
