"""The scripts of the orchestrator's side; workers have theirs, and envelopes what both share."""

from pathlib import Path
from typing import Final

LUA: Final = Path(__file__).parent
"""The folder to make the `Scripts` from."""
