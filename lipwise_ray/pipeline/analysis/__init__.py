"""Analyses of a source by networks: faces, who speaks, who is who, what is said."""
