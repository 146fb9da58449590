"""Metrics of finished videos."""
