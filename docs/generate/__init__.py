"""The pages of the reference, by the source: ``python -m docs.generate`` writes them, ``--check`` compares them."""
