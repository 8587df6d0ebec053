"""``python -m stillbit.cli``."""

from __future__ import annotations

import subprocess
import sys


def test_the_package_runs_as_a_module() -> None:
    ended = subprocess.run([sys.executable, "-m", "stillbit.cli", "trian"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "stillbit: there is no command 'trian': did you mean stillbit train?\n"


def test_help_is_quick_because_it_imports_no_torch() -> None:
    code = "import sys; from stillbit.cli.main import main\ntry: main(['train', 'lsq', '--help'])\n"
    code += "finally: assert 'torch' not in sys.modules"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
