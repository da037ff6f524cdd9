"""`python -m auditor.cli` is the command `auditor`."""

from auditor.cli.main import main

main()
