"""Compilation of all modules before the workers start.

In a new clone, every worker would otherwise compile every module, all of them at the same time.
"""

from __future__ import annotations

import compileall
import os
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from _pytest.assertion import rewrite

ROOT = Path(__file__).parents[1]


def compile_all(config: pytest.Config) -> None:
    """Compile tests as pytest does, with their assertions rewritten, and all other modules."""
    paths = [path for folder in ("app", "db", "tests") for path in (ROOT / folder).rglob("*.py")]
    cores = len(os.sched_getaffinity(0))
    children = [_fork_compiler(config, paths[part::cores]) for part in range(cores)]
    for child in children:
        os.waitpid(child, 0)


def _fork_compiler(config: pytest.Config, paths: Sequence[Path]) -> int:
    """Start a process that compiles some modules; return its pid."""
    if child := os.fork():
        return child
    warnings.simplefilter("ignore")  # Hypothesis warns of work before the session
    try:
        for path in paths:
            _compile(config, path)
    except BaseException:  # the workers compile the rest
        traceback.print_exc()
    os._exit(0)


def _compile(config: pytest.Config, path: Path) -> None:
    if path.name == "conftest.py" or path.name.startswith("test_"):
        _compile_test(config, path)
        return
    compileall.compile_file(path, quiet=2)
    if ROOT / "tests" not in path.parents:
        _list_constants(path)


def _compile_test(config: pytest.Config, path: Path) -> None:
    compiled = rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"
    if rewrite._read_pyc(path, compiled) is None:
        compiled.parent.mkdir(exist_ok=True)
        stat, code = rewrite._rewrite_test(path, config)
        rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, stat, compiled)


def _list_constants(path: Path) -> None:
    """Store the constants of a module, from which Hypothesis makes some of its examples."""
    from hypothesis.internal.constants_ast import constants_from_module

    module = ModuleType(path.stem)
    module.__file__ = os.fspath(path)
    constants_from_module(module)
