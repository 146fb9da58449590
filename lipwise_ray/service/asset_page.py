"""A part of the list of assets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lipwise_ray.errors import RequestError
from lipwise_ray.service.asset_record import Asset, AssetKind

AssetOrder = Literal[
    "nameAsc",
    "nameDesc",
    "dateAsc",
    "dateDesc",
    "durationAsc",
    "durationDesc",
    "sizeAsc",
    "sizeDesc",
    "kindAsc",
    "kindDesc",
]
_SORTED_BY: Mapping[str, Callable[[Asset], float | str]] = {
    "name": lambda asset: asset.name.casefold(),
    "date": lambda asset: asset.created,
    "duration": lambda asset: (asset.media and asset.media.duration_s) or 0.0,
    "size": lambda asset: asset.size or 0,
    "kind": lambda asset: asset.media.kind if asset.media else "",
}


@dataclass(frozen=True, slots=True)
class AssetPage:
    """A part of the list of assets.

    Attributes:
        items: The assets, in the order that was asked for.
        cursor: Where the next part begins; None at the end.
        total: Number of assets in all parts.
    """

    items: tuple[Asset, ...]
    cursor: str | None
    total: int


def page_of(
    assets: Iterable[Asset],
    kinds: Collection[AssetKind],
    search: str,
    order: AssetOrder,
    limit: int,
    cursor: str | None,
) -> AssetPage:
    """Return a part of the list of whole assets.

    Args:
        assets: All assets.
        kinds: Their kinds; none for all.
        search: A part of their names, in any case.
        order: Their order.
        limit: Most of them.
        cursor: Where an earlier part ended.

    Raises:
        RequestError: No part ends there.
    """
    found = [
        asset
        for asset in assets
        if asset.media is not None
        and (not kinds or asset.media.kind in kinds)
        and search.casefold() in asset.name.casefold()
    ]
    what, is_down = order.removesuffix("Desc").removesuffix("Asc"), order.endswith("Desc")
    found.sort(key=lambda asset: (_SORTED_BY[what](asset), asset.id), reverse=is_down)
    start = 0
    if cursor is not None:
        place = next((number for number, asset in enumerate(found) if asset.id == cursor), None)
        if place is None:
            raise RequestError(
                "bad_cursor", "cursor", got="no part of this list ends there", do="Start from the first part again"
            )
        start = place + 1
    items = tuple(found[start : start + limit])
    return AssetPage(items, items[-1].id if len(found) > start + limit else None, len(found))
