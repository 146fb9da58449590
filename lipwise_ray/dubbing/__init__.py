"""The whole job in one process: manifest, plan, tasks, worker. No ray."""
