"""Completion by click's protocol through the installed script, and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("prime-fast")


def completed(words: str, shell: str = "bash") -> list[str]:
    """Return what the script offers for the last of the words; an empty one after a blank."""
    given = words.split(" ")
    place = str(len(given) - 1)
    variables = {"COMP_WORDS": words, "COMP_CWORD": place if shell != "fish" else given[-1]}
    done = subprocess.run(  # noqa: S603
        [SCRIPT],
        env=os.environ | variables | {"_PRIME_FAST_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("prime-fast s", ["simulate", "solve", "sweep", "space", "schema"]),
        ("prime-fast logs in", ["inspect"]),
        ("prime-fast solve --lim", ["--limit"]),
        ("prime-fast solve --objective energy_", ["energy_uj", "energy_delay"]),
        ("prime-fast optimize --app mobilenetv", ["MobileNetV2", "MobileNetV3", "MobileNetV1"]),
        ("prime-fast optimize --learn-from t-RNN", [r"t-RNN\\ Dec", r"t-RNN\\ Enc"]),
        ("prime-fast sweep --space g", ["gemmini"]),
        ("prime-fast space inspect g", ["gemmini"]),
        ("prime-fast workload show U", ["U-Net"]),
        ("prime-fast simulate --design edge", ["edge-tpu-v1", "edge-tpu-v2", "edge-tpu-v3"]),
        ("prime-fast optimize --method prime-no", ["prime-no-adversarial", "prime-no-infeasible"]),
    ],
)
def test_bash_protocol(words: str, offered: list[str]) -> None:
    assert completed(words) == [f"plain,{each}" for each in offered]


def test_files_are_left_to_the_shell() -> None:
    for words in ("prime-fast optimize --logs x", "prime-fast solve --app ./x", "prime-fast explain runs/x"):
        assert completed(words)[0].startswith("file,"), words


def test_other_shells_get_names_as_they_are() -> None:
    assert "t-RNN Enc" in completed("prime-fast solve --app t", "zsh")
    assert "plain,t-RNN Enc" in "\n".join(completed("prime-fast solve --app t", "fish"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_of_each_shell(shell: str) -> None:
    done = subprocess.run([SCRIPT, "completion", shell], capture_output=True, text=True, check=True)  # noqa: S603
    assert f"_PRIME_FAST_COMPLETE={shell}_complete" in done.stdout
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=done.stdout, text=True, check=True)  # noqa: S603


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_real_bash_completes() -> None:
    program = f"""
    PATH="{SCRIPT.parent}:$PATH"
    eval "$(prime-fast completion bash)"
    complete -p prime-fast >&2
    compopt() {{ :; }}  # which readline alone allows
    COMP_WORDS=(prime-fast solve --app t-RNN); COMP_CWORD=3
    _prime_fast_completion prime-fast
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)  # noqa: S603, S607
    assert done.stdout.splitlines() == [r"t-RNN\ Dec", r"t-RNN\ Enc"]
    assert "_prime_fast_completion prime-fast" in done.stderr
