"""Results → one page, tables for a terminal, CSV and Markdown; for transfer studies and for
streams. Never imports torch.
"""

from matboard.report.choice import choice_text
from matboard.report.comparison import (
    comparison_csv,
    comparison_rows,
    comparison_text,
)
from matboard.report.page import progress_words, view_rows, write_report
from matboard.report.rows import rows_csv, rows_json
from matboard.report.search import search_text
from matboard.report.stream.table import (
    continual_table_csv,
    continual_table_rows,
    continual_table_text,
)
from matboard.report.transfer.as_csv import transfer_table_csv, transfer_table_rows
from matboard.report.transfer.inside import analysis_text
from matboard.report.transfer.markdown import transfer_table_markdown
from matboard.report.transfer.text import transfer_table_text
from matboard.report.transfer.verdict import verdict
from matboard.report.transfer.views import StudyView, study_views

__all__ = [
    "StudyView",
    "analysis_text",
    "choice_text",
    "comparison_csv",
    "comparison_rows",
    "comparison_text",
    "continual_table_csv",
    "continual_table_rows",
    "continual_table_text",
    "progress_words",
    "rows_csv",
    "rows_json",
    "search_text",
    "study_views",
    "transfer_table_csv",
    "transfer_table_markdown",
    "transfer_table_rows",
    "transfer_table_text",
    "verdict",
    "view_rows",
    "write_report",
]
