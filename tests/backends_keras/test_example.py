"""The example runs as it stands, and its network learns."""

import re
import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "he_keras.py"


def test_it_prints_what_the_formula_says_and_learns(capsys):
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    for drawn, rule, error in re.findall(r"variance ([\d.]+), He's rule \S+ = ([\d.]+) ± ([\d.]+)", printed):
        assert abs(float(drawn) - float(rule)) <= 4 * float(error)  # four standard errors of a sample variance
    assert len(re.findall("He's rule", printed)) == 2
    assert float(re.search(r"accuracy after two epochs: ([\d.]+)", printed)[1]) > 0.5  # ten classes: a guess gets 0.1
