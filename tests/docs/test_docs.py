"""What the documents say is true."""

import re
import subprocess
import sys
from pathlib import Path

import matboard

ROOT = Path(__file__).parents[2]


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_every_public_name_loads_and_is_documented():
    reference = (ROOT / "docs/api.md").read_text()
    for name in matboard.__all__:
        assert getattr(matboard, name) is not None
        assert f"`{name}`" in reference or name == "__version__", name


def test_nothing_heavy_is_imported_before_it_is_needed():
    assert run("import sys, matboard; print('torch' in sys.modules)").strip() == "False"
    assert (
        run(
            "import sys, matboard; matboard.load_prompt; matboard.AccuracyMatrix; print('torch' in"
            " sys.modules)"
        ).strip()
        == "False"
    )
    assert (
        run(
            "import sys, matboard.cli, matboard.report; print('torch' in sys.modules)"
        ).strip()
        == "False"
    )


def test_the_readme_names_commands_that_exist():
    readme = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"^ *matboard (\w+)", readme, flags=re.MULTILINE))
    assert {"fit", "evaluate", "apply", "report"} <= commands
    helped = run(
        "import sys; sys.argv = ['matboard', '--help']; from matboard.cli import main; main()"
    )
    for command in commands:
        assert command in helped


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", (ROOT / "README.md").read_text()):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_experiment_is_a_valid_configuration():
    from matboard.studies.config import ContinualConfig, StudyConfig
    from matboard.studies.reading import load_config
    from matboard.studies.search.ranges import SearchConfig
    from matboard.studies.variants import learner_variants

    found = sorted((ROOT / "experiments").glob("*.yaml"))
    makefile = (ROOT / "Makefile").read_text()
    studies = re.findall(r"^STUDIES := (.*)$", makefile, flags=re.MULTILINE)[0].split()
    assert set(studies) <= {path.stem for path in found}
    for path in found:
        if "learners:" in path.read_text():
            config = load_config(path, [], ContinualConfig)
            assert len(learner_variants(config)) >= len(config.learners)
        else:
            kind = SearchConfig if "\nsearch:" in path.read_text() else StudyConfig
            study = load_config(path, [], kind)
            asked = path.stem.startswith("paper_") or path.stem in studies
            assert study.rule or not asked, f"{path.name} has no rule"
        assert path.read_text().startswith("#"), (
            f"{path.name} has no header saying command, time and expected number"
        )


def test_the_python_example_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL
    )
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
