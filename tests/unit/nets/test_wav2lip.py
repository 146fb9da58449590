from __future__ import annotations

import numpy as np
import pytest

from tests.support.seeded import GOLDEN, seeded_input, seeded_weights

torch = pytest.importorskip("torch")


def test_same_numbers_as_the_reference() -> None:
    """Seeded weights and inputs give the reference implementation's faces."""
    from lipwise_ray.nets.wav2lip import Wav2Lip

    network = Wav2Lip()
    network.load_state_dict(seeded_weights("wav2lip"))
    mel = torch.from_numpy(seeded_input("mel", (4, 1, 80, 16), -4, 4))
    face = torch.from_numpy(seeded_input("face", (4, 6, 96, 96)))
    with torch.inference_mode():
        ours = network.eval()(mel, face).numpy()
    reference = np.load(GOLDEN / "wav2lip.npz")["faces"]
    assert np.abs(ours - reference).max() / np.abs(reference).max() < 1e-4


def test_role_feeds_bgr_with_the_lower_half_hidden(tmp_path) -> None:
    """The role gives the network what a direct call with masked BGR crops gives."""
    from lipwise_ray.lipsync.model import Wav2LipSync
    from lipwise_ray.nets.wav2lip import Wav2Lip

    weights = seeded_weights("wav2lip")
    torch.save({"state_dict": weights}, tmp_path / "w.pth")
    role = Wav2LipSync(tmp_path / "w.pth", device="cpu", precision="float32", batch_faces=2)
    crops = np.zeros((2, 96, 96, 3), np.float32)
    crops[0, ..., 0] = 1.0  # pure blue
    crops[1] = seeded_input("crop", (96, 96, 3))
    mels = seeded_input("mels", (2, 80, 16), -4, 4)
    network = Wav2Lip()
    network.load_state_dict(weights)
    whole = torch.from_numpy(crops).permute(0, 3, 1, 2)
    masked = whole.clone()
    masked[:, :, 48:] = 0
    with torch.inference_mode():
        direct = network.eval()(torch.from_numpy(mels)[:, None], torch.cat((masked, whole), 1))
    assert np.abs(role(crops, mels) - direct.permute(0, 2, 3, 1).numpy()).max() < 1e-5


@pytest.mark.slow
def test_a_face_does_not_depend_on_its_batch(tmp_path) -> None:
    """The same face and sound give bit-equal results at any place of a batch, whatever else is in it."""
    from lipwise_ray.lipsync.model import Wav2LipSync

    torch.save({"state_dict": seeded_weights("wav2lip")}, tmp_path / "w.pth")
    role = Wav2LipSync(tmp_path / "w.pth", device="cpu", precision="float32", batch_faces=8)
    crops, mels = seeded_input("c", (8, 96, 96, 3)), seeded_input("m", (8, 80, 16), -4, 4)
    order = np.roll(np.arange(8), 3)
    together = role(crops, mels)
    assert np.array_equal(role(crops[order], mels[order]), together[order])
    alone_crops, alone_mels = np.zeros_like(crops), np.zeros_like(mels)
    alone_crops[0], alone_mels[0] = crops[5], mels[5]
    assert np.array_equal(role(alone_crops, alone_mels)[0], together[5])


@pytest.mark.slow
def test_lower_precision_stays_near(tmp_path) -> None:
    """bfloat16 faces differ from float32 ones by little."""
    from lipwise_ray.lipsync.model import Wav2LipSync

    torch.save(seeded_weights("wav2lip"), tmp_path / "w.pth")
    crops, mels = seeded_input("c", (2, 96, 96, 3)), seeded_input("m", (2, 80, 16), -4, 4)
    results = [
        Wav2LipSync(tmp_path / "w.pth", device="cpu", precision=precision, batch_faces=2)(crops, mels)
        for precision in ("float32", "bfloat16")
    ]
    assert results[1].dtype == np.float32
    assert np.abs(results[0] - results[1]).max() < 0.03
