from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gainstage.cli.app import gainstage


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command line in an empty directory, free of any configuration but the test's own."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GAINSTAGE_")]:
        monkeypatch.delenv(name)

    def invoke(*words, **environment):
        result = CliRunner().invoke(gainstage, [*words], env=environment, prog_name="gainstage")
        return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)

    return invoke
