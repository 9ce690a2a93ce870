"""What a run writes, as frozen models: writers build them, the report and every reader take them.

Each file has one model and bears its schema's number; ``docs/schema/`` holds the JSON schemas.
"""

from matboard.results.analysis import AnalysisResults
from matboard.results.choice import ChoiceResults
from matboard.results.cost import CostResults
from matboard.results.fits import FitResults, PlannedFit, StreamFitResults, StudyPlan
from matboard.results.parts import SCHEMA, Difference, Interval
from matboard.results.reading import Results, json_schemas, read
from matboard.results.search import SearchResults
from matboard.results.selection import SelectionResults
from matboard.results.steps import StepRow, read_step
from matboard.results.stream import StreamResults
from matboard.results.transfer import TransferResults

__all__ = [
    "SCHEMA",
    "AnalysisResults",
    "ChoiceResults",
    "CostResults",
    "Difference",
    "FitResults",
    "Interval",
    "PlannedFit",
    "Results",
    "SearchResults",
    "SelectionResults",
    "StepRow",
    "StreamFitResults",
    "StreamResults",
    "StudyPlan",
    "TransferResults",
    "json_schemas",
    "read",
    "read_step",
]
