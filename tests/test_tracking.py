"""Training metrics in TensorBoard and MLflow."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Callable
from importlib import util
from pathlib import Path

import pytest

from prime_fast import tracking
from prime_fast.run_directory import RECORDS

Run = Callable[..., tuple[int, str, str]]

RECORDED = [
    {"event": "candidate", "alpha": 0.001, "beta": 0.0, "share": 0.25, "tau": 0.5, "auroc": 0.75},
    {"event": "selected", "alpha": 0.0, "beta": 0.0, "share": 1.0, "tau": 0.5, "reason": "it was the best"},
    {"event": "step", "phase": "fit", "step": 20, "alpha": 0.0, "beta": 0.0, "regression": 0.125},
]
SHOWN = {
    ("candidate/alpha=0.001/beta=0/tau", 25): 0.5,
    ("candidate/alpha=0.001/beta=0/auroc", 25): 0.75,
    ("selected/alpha", 100): 0.0,
    ("selected/beta", 100): 0.0,
    ("selected/tau", 100): 0.5,
    ("fit/alpha=0/beta=0/regression", 20): 0.125,
}


def test_figures_have_names_that_tell_their_curves() -> None:
    shown: dict[tuple[str, int], float] = {}
    for record in RECORDED:
        figures, step = tracking.metrics_of(record)
        shown |= {(name, step): value for name, value in figures.items()}
    assert shown == SHOWN


def test_tensorboard_gets_every_line_of_a_training(run: Run, tmp_path: Path) -> None:
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2", reason="tensorboardX is missing")
    pytest.importorskip("lightgbm", reason="the extra `baselines` is not installed")
    code, _, err = run("optimize", "--method", "trees", "--tensorboard", "board", "--out", "run", "--quiet")
    assert code == 0, err
    (file,) = (tmp_path / "board").iterdir()
    content, found, place = file.read_bytes(), defaultdict(list), 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        event = event_pb2.Event.FromString(content[place + 12 : place + 12 + length])
        for value in event.summary.value:
            found[value.tag, event.step].append(value.simple_value)
        place += 16 + length
    expected = defaultdict(list)
    for line in (tmp_path / "run" / RECORDS).read_text().splitlines():
        figures, step = tracking.metrics_of(json.loads(line))
        for name, figure in figures.items():
            expected[name, step].append(pytest.approx(figure, rel=1e-6))
    assert len(expected) > 2
    assert found == expected


def test_mlflow_gets_the_training_of_a_run_and_of_its_resumption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed: 30 packages")
    # A store that needs neither a server nor a database.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "store").as_uri()
    for part in (RECORDED[:2], RECORDED[2:]):
        with tracking.tracked(None, uri, "one", {"seed": 3, "limits": {"area_mm2": 27.0}}) as sinks:
            for record in part:
                for sink in sinks:
                    sink(record)
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    (kept,) = client.search_runs([experiment.experiment_id])
    assert kept.info.status == "FINISHED"
    assert kept.data.params == {"seed": "3", "limits": '{"area_mm2": 27.0}'}
    assert kept.data.metrics == {name.replace("=", " "): value for (name, _), value in SHOWN.items()}
    with pytest.raises(KeyboardInterrupt), tracking.tracked(None, uri, "two", {}):
        raise KeyboardInterrupt
    assert {one.info.status for one in client.search_runs([experiment.experiment_id])} == {
        "FINISHED",
        "KILLED",
    }


@pytest.mark.parametrize(("option", "module"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_a_missing_extra_is_named(
    option: str, module: str, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = util.find_spec
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == module else find(name))
    code, _, err = run("optimize", f"--{option}", "x", "--out", "run")
    assert code == 2
    assert f"--{option} needs {module}, which is not installed" in " ".join(err.split())
    assert f'pip install "prime-fast[{option}]"' in " ".join(err.split())
    assert not (tmp_path / "run").exists()


def test_a_board_that_cant_be_written_is_one_error(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    (tmp_path / "file").touch()
    code, _, err = run("optimize", "--method", "random", "--tensorboard", "file/board", "--out", "run")
    assert code == 2
    assert "file/board: can't be written" in err
    assert "Traceback" not in err
