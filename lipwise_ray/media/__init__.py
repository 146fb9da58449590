"""Files to frames and samples, and back. PyAV and numpy only."""
