"""Files that earlier tasks left in the state."""

from __future__ import annotations

import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.pipeline.inputs.made import MadeFiles


def test_without_a_state_none_is_there() -> None:
    """Commands that look at inputs alone cannot read them, and say so."""
    with pytest.raises(StorageError, match="missing from the state"):
        MadeFiles(None).local(f"speech/abc/{'0' * 64}.wav")
