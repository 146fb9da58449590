"""What networks find in a source: faces, who speaks, who is who, what is said."""
