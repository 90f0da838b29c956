"""A reader of docs/how-to/kubernetes.md, who has a copy of deploy/ and no cluster."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from tests.pages import ROOT, block, commands

SECRETS = block("docs/how-to/kubernetes.md", "$ sh deploy/make-secrets.sh")
MODELS = block("docs/how-to/kubernetes.md", "$ kubectl -n buckstop create secret generic models")

_KUBECTL = """#!{python}
import json, pathlib, sys
sys.path.insert(0, {root!r})
from tests.kustomize import compose
arguments = sys.argv[1:]
if "-k" in arguments:
    assert compose(pathlib.Path(arguments[arguments.index("-k") + 1]))
with open({log!r}, "a") as log:
    print(json.dumps(arguments), file=log)
"""


class Shop:
    """A copy of the deploy directory, and a kubectl that only notes what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / "kubectl.log"
        shutil.copytree(
            ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("secrets")
        )
        kubectl = folder / "bin" / "kubectl"
        kubectl.parent.mkdir()
        text = _KUBECTL.format(python=sys.executable, root=str(ROOT), log=str(self._log))
        kubectl.write_text(text)
        kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)

    def run(self, text: str) -> list[list[str]]:
        """Run a block's commands as they are pasted; return what kubectl was told."""
        environ = os.environ | {
            "PATH": f"{self.folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        }
        self._log.unlink(missing_ok=True)
        for line in commands(text):
            subprocess.run(["sh", "-c", line], cwd=self.folder, env=environ, check=True)
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def secrets(self) -> dict[str, set[str]]:
        """Return the keys of each secret that the page's commands make."""
        made: dict[str, set[str]] = {}
        for told in [*self.run(SECRETS), *self.run(MODELS)]:
            if "generic" in told:
                made[told[told.index("generic") + 1]] = {self._key(each) for each in told[6:]}
        return made

    def _key(self, argument: str) -> str:
        option, _, given = argument.partition("=")
        if option == "--from-literal":
            name, _, text = given.partition("=")
            assert text.strip() == text != "", argument
            return name
        assert option == "--from-file"
        assert (self.folder / given).read_text(), argument
        return Path(given).name
