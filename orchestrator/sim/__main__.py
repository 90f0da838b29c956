"""`python -m orchestrator.sim --seeds 50 --tasks 2000 [--json]`."""

import sys

from orchestrator.sim.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
