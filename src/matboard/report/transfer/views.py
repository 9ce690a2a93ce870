"""What a study was made to ask, found in what it varied: tables and figures of its own beside the
transfer table.

===================  ==============================================================  ==============
shown where          what                                                            in the paper
===================  ==============================================================  ==============
sources differ       methods × models, ensembles among them                          Tab. 1
terms differ         which terms of the objective, and what comes of it              Tab. 2
a number was swept   curves over it: border width, training pictures                 Tab. 3, Fig. 5
tasks differ         learned on one task, judged on others; or task by task          Tab. 4
tasks are corrupted  change by kind, curves over severity                            Tab. 9
===================  ==============================================================  ==============

(Tables and figures of arXiv 2404.11207.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matboard.report.figures import Drawing
from matboard.report.plain_table import PlainTable
from matboard.results.transfer import TransferResults


@dataclass(frozen=True)
class StudyView:
    """One question's answer.

    Attributes:
        slug: for names of files.
        words: how to read it.
    """

    slug: str
    title: str
    words: str
    tables: tuple[PlainTable, ...]
    drawings: tuple[Drawing, ...] = ()


def study_views(results: TransferResults) -> list[StudyView]:
    """Every question that the study asked, in the paper's order."""
    from matboard.report.transfer.across import across
    from matboard.report.transfer.by_source import by_source
    from matboard.report.transfer.by_task import by_task
    from matboard.report.transfer.by_terms import by_terms
    from matboard.report.transfer.corrupted import corrupted
    from matboard.report.transfer.sweep import sweeps

    makers: tuple[Callable[[TransferResults], Iterator[StudyView]], ...] = (
        by_source,
        by_terms,
        sweeps,
        across,
        by_task,
        corrupted,
    )
    return [view for make in makers for view in make(results)]
