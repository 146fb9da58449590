"""The part of a plan that a job makes: all of it, or what a window shows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from lipwise_ray.media.timeline import Timeline
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.dubbing.window import Window
from lipwise_ray.values import Span


def shown_chunks(window: Window | None, plan: Plan) -> range:
    """Return the numbers of the chunks of a plan that are rendered: all, or that of a window.

    Args:
        window: The job's; None for the whole output.
        plan: The job's.
    """
    if window is None:
        return range(len(plan.chunks))
    first = plan.chunks.index(window.frames(plan.timeline))
    return range(first, first + 1)


def shown_plan(window: Window | None, plan: Plan) -> Plan:
    """Return the plan of the file that is made: a job's own, or the part of it that a window shows.

    Args:
        window: The job's; None for the whole output.
        plan: The job's.
    """
    if window is None:
        return plan
    shown, timeline = window.frames(plan.timeline), plan.timeline
    first, stop = shown.start, shown.stop
    begin = int(timeline.pts[first])
    end = int(timeline.pts[stop]) if stop < len(timeline.pts) else timeline.end_pts
    part = Timeline(timeline.pts[first:stop] - begin, end - begin, timeline.time_base)
    source = plan.source[first:stop]
    with_face = int(np.isin(source, plan.chosen.frame).sum())
    return replace(
        plan,
        source=source,
        mel_start=plan.mel_start[first:stop],
        timeline=part,
        parts=tuple(replace(one, opacity=one.opacity[first:stop]) for one in plan.parts),
        chunks=[Span(0, len(shown))],
        audio_s=part.duration_s,
        counts=replace(
            plan.counts,
            frames=len(shown),
            frames_with_face=with_face,
            frames_without_face=len(shown) - with_face,
        ),
    )


def begin_s(window: Window, plan: Plan) -> Fraction:
    """Return the second at which a window's first frame is shown.

    Args:
        window: The job's.
        plan: The job's, of the whole output.
    """
    return int(plan.timeline.pts[window.frames(plan.timeline).start]) * plan.timeline.time_base
