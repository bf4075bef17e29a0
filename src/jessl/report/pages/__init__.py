"""The page of a run or a study, section by section."""
