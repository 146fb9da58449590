"""The drawing of the certainty: as long as the video, with gaps where nothing was measured."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from lipwise_ray.service.studio.certainty_course import CertaintyCourse, certainty_course


def _lines(course: CertaintyCourse | None) -> list[list[tuple[float, float]]]:
    """The points of each line of the drawing, in its own units."""
    assert course is not None
    drawing = ET.fromstring(str(course.drawing))  # our own text
    lines = [one.attrib["points"] for one in drawing.iter("polyline")]
    return [[(float(x), float(y)) for x, y in re.findall(r"(\S+),(\S+)", line)] for line in lines]


def test_a_line_goes_over_the_whole_length() -> None:
    """Each second's value stands in its middle; the last second of a video may be a part of one."""
    (line,) = _lines(certainty_course([2.0, 8.0, 4.0], 2.75))
    assert [x for x, _ in line] == pytest.approx([0, 500 / 2.75, 1500 / 2.75, 2500 / 2.75, 1000], abs=0.1)
    assert line[2][1] == pytest.approx(4)  # the highest value is the top
    assert line[1][1] == pytest.approx(4 + 96 * 0.75)


def test_what_was_not_measured_is_a_gap() -> None:
    """The lines stop before it and begin after it; none is drawn through."""
    course = certainty_course([1.0, None, None, 3.0], 4.0)
    first, second = _lines(course)
    assert (first[0][0], first[-1][0]) == (0, 250)
    assert (second[0][0], second[-1][0]) == (750, 1000)
    assert course is not None
    assert (course.lowest_s, course.lowest, course.most, course.has_gaps) == (0, 1.0, 3.0, True)


def test_scores_below_nothing_stay_in_the_drawing() -> None:
    """The lowest one is then the bottom."""
    course = certainty_course([-2.0, 2.0], 2.0)
    assert course is not None
    assert (course.least, course.lowest_s, course.has_gaps) == (-2.0, 0, False)
    assert [y for _, y in _lines(course)[0]] == pytest.approx([100, 100, 4, 4])


def test_nothing_is_drawn_of_nothing() -> None:
    """No second has a value, or the video has no length."""
    assert certainty_course([], 3.0) is None
    assert certainty_course([None, None], 3.0) is None
    assert certainty_course([1.0], 0.0) is None
    assert _lines(certainty_course([0.0, 0.0], 2.0))[0][0] == (0, 100)
