"""The verb `sweep`: many trainings of one study by many workers, each unit exactly once.

May import selection and what lies below; the only room that imports optuna.
"""
