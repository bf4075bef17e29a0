"""Reports: the records of a run or a study as one HTML file, and as a table.

formatting < model, reading < charts (SVG) < run_summary < pages (HTML by templates/). Nothing
here imports torch: a report can be written where only records are.
"""

from jessl.report.pages.run import write_report
from jessl.report.run_summary import as_markdown, summary_rows, write_table

__all__ = ["as_markdown", "summary_rows", "write_report", "write_table"]
