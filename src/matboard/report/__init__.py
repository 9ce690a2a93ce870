"""Results → one page, tables for a terminal, CSV and Markdown; for transfer studies and for
streams. Never imports torch.
"""

from matboard.report.choice import choice_text
from matboard.report.page import write_report
from matboard.report.search import search_text
from matboard.report.stream.table import continual_table_csv, continual_table_text
from matboard.report.transfer.as_csv import transfer_table_csv
from matboard.report.transfer.inside import analysis_text
from matboard.report.transfer.markdown import transfer_table_markdown
from matboard.report.transfer.text import transfer_table_text

__all__ = [
    "analysis_text",
    "choice_text",
    "continual_table_csv",
    "continual_table_text",
    "search_text",
    "transfer_table_csv",
    "transfer_table_markdown",
    "transfer_table_text",
    "write_report",
]
