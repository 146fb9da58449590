"""State of finished work, on disk: the only truth. No torch, no ray."""
