"""Run a program of ours as `python -m` does, with other limits, which a test cannot wait for.

python -m tests.limited '{"LIVE_CHECK_S": 0.2}' orchestrator.http --port 0
"""

import json
import runpy
import sys

from envelopes import limits

if __name__ == "__main__":
    for name, value in json.loads(sys.argv.pop(1)).items():
        assert hasattr(limits, name), name
        setattr(limits, name, value)
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
