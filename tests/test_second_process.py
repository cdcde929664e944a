"""The second process that compiles along: what it runs, and all that may keep it from running."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import fastnn

pytest.importorskip("numba")

from fastnn._kernels.numba.second_process import second_process


@pytest.fixture(autouse=True)
def two_threads():
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(2)
    yield
    fastnn.set_num_threads(before)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "mark"


def leave(mark):
    return f"import fastnn; open({str(mark)!r}, 'w').close()"


def test_the_code_has_run_after_the_block(mark):
    with second_process(leave(mark)):
        pass
    assert mark.exists()


def test_modules_come_from_where_this_process_has_them(tmp_path, mark, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "found_there.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    with second_process("import found_there; " + leave(mark)):
        pass
    assert mark.exists()


def test_modules_do_not_come_from_the_current_folder(tmp_path, mark, monkeypatch):
    (tmp_path / "fastnn.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    with second_process(leave(mark)):
        pass
    assert mark.exists()


def test_one_thread_has_no_second_process(mark):
    fastnn.set_num_threads(1)
    with second_process(leave(mark)):
        pass
    assert not mark.exists()


@pytest.mark.parametrize("executable", ["", None, "/no/such/python"])
def test_the_block_runs_without_another_python(mark, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    ran = False
    with second_process(leave(mark)):
        ran = True
    assert ran
    assert not mark.exists()


def test_a_program_that_embeds_python_is_not_started(monkeypatch):
    def start(*args, **options):
        pytest.fail("started")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(sys, "executable", "/usr/bin/blender")
    with second_process("pass"):
        pass


def test_an_error_in_the_block_passes_and_does_not_wait():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), second_process("import time; time.sleep(60)"):
        raise KeyboardInterrupt
    assert time.monotonic() - start < 30


def test_errors_and_output_of_the_code_do_not_show(capfd):
    with second_process("print('here'); raise ValueError('there')"):
        pass
    assert capfd.readouterr() == ("", "")
