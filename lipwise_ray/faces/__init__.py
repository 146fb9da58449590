"""Faces: detectors, shots, tracks over the whole video, and the selection of those to dub."""
