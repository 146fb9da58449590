"""Reports of a run: tables, and a page to look at in the morning."""
