"""Which published encoder suits these images: its row, intervals, orders, and a page.

May import report, pretraining and what lies below; not selection, not zoo.
"""
