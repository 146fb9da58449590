"""Which tasks a row needs next. Pure, no I/O."""
