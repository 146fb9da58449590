"""Workers as Ray actors, and runs on Ray clusters."""
