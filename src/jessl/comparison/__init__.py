"""Comparing published encoders on a set of images: rows, intervals, orders, and a page.

May import report, pretraining and what lies below; not selection, not zoo.
"""
