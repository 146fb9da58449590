"""The service: a queue of jobs, uploads and outputs, over HTTP."""
