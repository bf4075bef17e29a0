"""The training engine: loop, optimizers, schedules, teacher, checkpoints."""
