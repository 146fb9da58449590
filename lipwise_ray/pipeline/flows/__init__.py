"""Flows of rows: the tasks that each needs next. Pure, no I/O."""
