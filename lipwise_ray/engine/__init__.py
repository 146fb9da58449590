"""Where work runs: the engine contract, its implementations, and the dispatcher."""
