"""What workers do: one handler a task kind, over models that stay loaded."""
