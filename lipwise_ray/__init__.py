"""Bulk lip-sync dubbing: video files in, lip-synced and verified video files out."""

__version__ = "0.1.0"
