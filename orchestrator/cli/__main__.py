"""`python -m orchestrator.cli` is `buckstop`."""

from orchestrator.cli import main

main()
