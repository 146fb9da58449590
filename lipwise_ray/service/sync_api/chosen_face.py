"""The rule of faces that a request's choice of the active speaker means."""

from __future__ import annotations

from lipwise_ray.errors import RequestError
from lipwise_ray.service.sync_api.request import ActiveSpeaker

SPEAKING, ALL = "speaking", "all"


def face_rule(chosen: ActiveSpeaker | None, field: str) -> str | None:
    """Return the rule that a manifest's column ``faces`` would have; None where nothing is chosen.

    Args:
        chosen: The choice.
        field: Its name in the request.

    Raises:
        RequestError: Two ways are mixed, or half of one is missing.
    """
    if chosen is None:
        return None
    ways = {
        "auto_detect": chosen.auto_detect or None,
        "frame_number and coordinates": chosen.frame_number is not None or chosen.coordinates is not None or None,
        "bounding_boxes": chosen.bounding_boxes,
    }
    taken = [name for name, value in ways.items() if value is not None]
    if len(taken) > 1:
        got = f"{' beside '.join(taken)}"
        raise RequestError("invalid_request", field, got=got, do="Choose the face in one way")
    if chosen.auto_detect:
        return SPEAKING
    if chosen.bounding_boxes is not None:
        return ALL  # of the tracks that they become, which hold this face alone
    if chosen.frame_number is None and chosen.coordinates is None:
        return None
    if chosen.frame_number is None or chosen.coordinates is None:
        lacks = "frame_number" if chosen.frame_number is None else "coordinates"
        raise RequestError("invalid_request", f"{field}.{lacks}", got="missing, and the other was given")
    x, y = (round(value) for value in chosen.coordinates)
    if min(x, y) < 0:
        raise RequestError("invalid_request", f"{field}.coordinates", got=f"{x}, {y} is outside every frame")
    return f"at:{chosen.frame_number},{x},{y}"
