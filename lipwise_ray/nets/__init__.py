"""Networks, checkpoints and the registry of published weights."""
