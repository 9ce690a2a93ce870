"""Studies of continual learners: on a page, in a terminal, as CSV."""
