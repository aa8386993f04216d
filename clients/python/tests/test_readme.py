"""What README.md shows runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Dict

from server import Server

HERE = Path(__file__).parents[1]


def blocks() -> Dict[str, str]:
    found = re.findall(r"<!-- test (\w+) -->\n```python\n(.*?)```", (HERE / "README.md").read_text("utf-8"), re.DOTALL)
    return dict(found)


def test_start_runs_as_it_stands(tmp_path: Path) -> None:
    """The ports alone are others: a server may be running on the usual ones."""
    server = Server(tmp_path).start()
    try:
        parts = {
            name: text.replace("http://127.0.0.1:8080", server.url).replace("http://127.0.0.1:9080", server.backend)
            for name, text in blocks().items()
        }
        python = [sys.executable, "-u", "-c", "import sys; sys.path.insert(0, sys.argv[1]); exec(sys.argv[2])", str(HERE / "src")]
        device = subprocess.Popen([*python, parts["device"]], stdout=subprocess.PIPE, text=True)
        try:
            publish = subprocess.run([*python, parts["publish"]], capture_output=True, text=True, timeout=120, check=True)
            assert publish.stdout.startswith("accepted ")
            assert device.stdout is not None
            assert device.stdout.readline() == "{'text': 'it works'}\n"
        finally:
            device.kill()
            device.communicate()
        subprocess.run([*python, parts["settings"]], timeout=120, check=True)
    finally:
        server.stop()


def test_device_block_is_short() -> None:
    lines = [line for line in blocks()["device"].splitlines() if line.strip()]
    assert len(lines) <= 7  # five of them are RAMEN's
