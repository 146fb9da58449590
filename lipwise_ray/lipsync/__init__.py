"""Audio windows, output lengths, the lip-sync role, and the renderer."""
