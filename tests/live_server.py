"""Run the app as `buckstop http` does, with other limits, which a test cannot wait for.

python -m tests.live_server '{"LIVE_CHECK_S": 0.2}' --port 0
"""

import json
import sys

from envelopes import limits

if __name__ == "__main__":
    for name, value in json.loads(sys.argv.pop(1)).items():
        assert hasattr(limits, name), name
        setattr(limits, name, value)
    from orchestrator.http.__main__ import main

    main()
