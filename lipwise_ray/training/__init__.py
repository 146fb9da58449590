"""Training: footage to face crops, crops to batches, batches to networks."""
