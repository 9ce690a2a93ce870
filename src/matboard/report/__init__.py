"""Run folders → one self-contained page, a terminal table, CSV. Never imports torch."""

from matboard.report.continual_table import continual_table_csv, continual_table_text
from matboard.report.page import write_report
from matboard.report.transfer_table import transfer_table_csv, transfer_table_text

__all__ = [
    "continual_table_csv",
    "continual_table_text",
    "transfer_table_csv",
    "transfer_table_text",
    "write_report",
]
