"""Rows: files of them, their checks, and what each asks for."""
