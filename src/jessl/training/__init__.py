"""The training engine: loop, step, optimizers, schedules, teacher, checkpoints.

May import data, views, encoders, objectives and core. Scores and probes come in as callables.
"""
