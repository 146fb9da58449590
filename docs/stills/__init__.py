"""Stills for the README and the gallery, of the bundled demo: ``python -m docs.stills`` makes them."""
