"""Tasks on workers: order, budgets, retries, quarantine. Knows no video."""
