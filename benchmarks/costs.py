"""What hours of video cost on a card, by its frames a second: measured ones, or a range where nobody has measured.

    python -m benchmarks.costs [--hours 1000] [--rate 25] [--cards L4,A10G,H100] [--prices cluster/prices.toml]
    python -m benchmarks.costs --cards L4 --speed 95 --says "sh benchmarks/gpu.sh, quality with GFPGAN, 1080p"

Prints Markdown. Frames a second come from `--speed` (`sh benchmarks/gpu.sh` and `lipwise-ray report` print yours), else
from `benchmarks/speeds.toml`, which holds what was measured and by what. A card without either has the range of
`--range` in its place, which says nothing of the card. Prices are those of the list; a card that no machine of it has
gets hours and no money. Only GPUs' time is counted: starting, waiting, the head, storage and traffic come on top.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.resources import cluster_folder
from lipwise_ray.runs.costs import Prices, read_prices
from lipwise_ray.settings.layers import read_toml

SPEEDS = Path(__file__).with_name("speeds.toml")
_CARDS = "L4,A10G,H100"
_RANGE = "25,50,100,200,400"


@dataclass(frozen=True, slots=True)
class CardSpeed:
    """Frames a second of a card, and where the figure is from; an empty source for one that is only supposed."""

    card: str
    frames_s: float
    source: str


def measured(card: str) -> list[CardSpeed]:
    """Return the measurements of a card in the committed table.

    Args:
        card: Its name.
    """
    rows = read_toml(SPEEDS).get("speed", [])
    return [CardSpeed(row["card"], row["frames_s"], row["source"]) for row in rows if row["card"] == card]


def gpu_hours(hours: float, rate: float, frames_s: float) -> float:
    """Return the hours of one card that hours of video take.

    Args:
        hours: Of video.
        rate: Frames a second of the video.
        frames_s: Frames a second of the card.
    """
    return hours * rate / frames_s


def costs(card: str, needed_h: float, prices: Prices) -> str:
    """Return what hours of a card cost on the list's machines that have it, from spot to on demand.

    Args:
        card: Its name, a word of the machine's.
        needed_h: Hours of one card.
        prices: The list.
    """
    machines = [one for one in prices.machine if card in re.findall(r"\w+", one.name)]
    if not machines:
        return "no price in the list"
    least = min(needed_h * one.spot / one.gpus for one in machines)
    most = max(needed_h * one.on_demand / one.gpus for one in machines)
    return f"{least:,.0f} to {most:,.0f} {prices.currency}"


def table(cards: list[str], told: list[CardSpeed], options: argparse.Namespace, prices: Prices) -> Iterator[str]:
    """Yield the lines of the table.

    Args:
        cards: Names of the cards, in order.
        told: Speeds that the command was told.
        options: The command's: hours and rate of the video, the range.
        prices: The list.
    """
    yield "| card | frames/s | from | GPU hours | costs |"
    yield "|---|---|---|---|---|"
    for card in cards:
        known = [one for one in told if one.card == card] or measured(card)
        for one in known or [CardSpeed(card, speed, "") for speed in options.range]:
            needed_h = gpu_hours(options.hours, options.rate, one.frames_s)
            source = one.source or "not measured: if it does so many"
            money = costs(card, needed_h, prices)
            yield f"| {card} | {one.frames_s:g} | {source} | {needed_h:,.0f} | {money} |"


def _speeds(text: str) -> list[float]:
    found = [float(part) for part in text.split(",")]
    if any(speed <= 0 for speed in found):
        raise ValueError(text)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=1000.0, help="hours of video")
    parser.add_argument("--rate", type=float, default=25.0, help="its frames a second")
    parser.add_argument("--cards", default=_CARDS, help="names of cards, as machines of the price list have them")
    parser.add_argument("--speed", type=_speeds, default=[], help="frames a second that you measured, for each card")
    parser.add_argument("--says", default="measured by you", help="where --speed is from")
    parser.add_argument("--range", type=_speeds, default=_speeds(_RANGE), help="for cards that nobody has measured")
    parser.add_argument("--prices", type=Path, default=cluster_folder() / "prices.toml", help="your price list")
    options = parser.parse_args(arguments)
    cards = options.cards.split(",")
    if options.speed and len(options.speed) != len(cards):
        parser.error(f"--speed has {len(options.speed)} figures for {len(cards)} cards")
    prices = read_prices(options.prices)
    told = [CardSpeed(card, speed, options.says) for card, speed in zip(cards, options.speed, strict=False)]
    print(f"{options.hours:,g} hours of video at {options.rate:g} frames/s, prices of {prices.as_of}:\n")
    print("\n".join(table(cards, told, options, prices)))


if __name__ == "__main__":
    main()
