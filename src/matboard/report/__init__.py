"""Run folders → one self-contained page, a terminal table, CSV. Never imports torch."""

from matboard.report.page import write_report
from matboard.report.transfer_table import transfer_table_csv, transfer_table_text

__all__ = ["transfer_table_csv", "transfer_table_text", "write_report"]
