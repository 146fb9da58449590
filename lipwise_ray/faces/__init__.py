"""Where the faces are: detectors, shots, tracks over the whole video, and which face is meant."""
