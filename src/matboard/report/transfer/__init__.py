"""Transfer tables: on a page, in a terminal, as CSV."""
