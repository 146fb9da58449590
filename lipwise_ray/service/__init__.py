"""Service: a durable queue of jobs that programs and people add to, and the driver process that does them."""
