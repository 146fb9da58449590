"""Tasks of workers: one handler a task kind, over models that stay loaded."""
