"""Notebook: what its cells show and ask for; each of them is a line or two."""

from lipwise_ray.notebook.machine_checks import MachineChecks, check_machine
from lipwise_ray.notebook.progress_line import ProgressLine
from lipwise_ray.notebook.score_table import ScoreTable
from lipwise_ray.notebook.source_files import SourceFiles, sample_files, sent_files
from lipwise_ray.notebook.video_pair import VideoPair, VideoStills
from lipwise_ray.notebook.weight_terms import WeightTerms

__all__ = [
    "MachineChecks",
    "ProgressLine",
    "ScoreTable",
    "SourceFiles",
    "VideoPair",
    "VideoStills",
    "WeightTerms",
    "check_machine",
    "sample_files",
    "sent_files",
]
