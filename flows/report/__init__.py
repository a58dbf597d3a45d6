"""The report page: one self-contained HTML file that a stranger can open and understand."""

from flows.report.data import ReportData, ReportSection, summarise
from flows.report.page import render_report, write_report

__all__ = ["ReportData", "ReportSection", "render_report", "summarise", "write_report"]
