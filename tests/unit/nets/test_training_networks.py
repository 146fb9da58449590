from __future__ import annotations

import numpy as np
import pytest

from tests.support.seeded import GOLDEN, seeded_input, seeded_weights

torch = pytest.importorskip("torch")


def _error(ours, reference) -> float:
    return float(np.abs(ours.numpy() - reference).max() / np.abs(reference).max())


def test_expert_gives_the_reference_embeddings() -> None:
    """Seeded weights and inputs give the reference implementation's two embeddings."""
    from lipwise_ray.nets.expert import LipSyncExpert

    network = LipSyncExpert()
    network.load_state_dict(seeded_weights("lipsync_expert"))
    mel = torch.from_numpy(seeded_input("mel", (4, 1, 80, 16), -4, 4))
    lips = torch.from_numpy(seeded_input("mouths", (4, 15, 48, 96)))
    with torch.inference_mode():
        sound, face = network.eval()(mel, lips)
    reference = np.load(GOLDEN / "lipsync_expert.npz")
    assert _error(sound, reference["audio"]) < 1e-4
    assert _error(face, reference["face"]) < 1e-4


def test_discriminator_gives_the_reference_probabilities() -> None:
    """Seeded weights and inputs give the reference implementation's probabilities, in its order of frames."""
    from lipwise_ray.nets.quality_disc import VisualQualityDisc

    network = VisualQualityDisc()
    network.load_state_dict(seeded_weights("visual_quality_disc"))
    clip = torch.from_numpy(seeded_input("clip", (2, 3, 5, 96, 96)))
    with torch.inference_mode():
        probability = network.eval()(clip)
    assert _error(probability, np.load(GOLDEN / "visual_quality_disc.npz")["real_probability"]) < 1e-4
