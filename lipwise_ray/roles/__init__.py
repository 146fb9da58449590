"""Roles that networks have in a run: a module each, with the role's entry and how its model is loaded.

None imports a network before it is loaded: whoever plans and names jobs reads the entries alone.
"""
