"""Images tried, effects measured, one rule, one finding."""
