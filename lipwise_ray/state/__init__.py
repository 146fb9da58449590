"""What is done, on disk: the only truth. No torch, no ray."""
