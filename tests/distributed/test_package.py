"""What its processes leave to Python's collector."""

import subprocess
import sys


def python(code: str) -> str:
    """What a process of its own prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_what_was_imported_is_not_looked_through_at_the_end():
    """Whoever registers first is called last."""
    code = "atexit.register(lambda: print(gc.get_freeze_count() > 1000))"
    assert python(f"import atexit, gc\n{code}\nimport vbert.distributed") == "True\n"


def test_who_lets_more_objects_come_before_a_look_is_left_alone():
    code = "gc.set_threshold({}, 5, 5)\nimport vbert.distributed\nprint(gc.get_threshold())"
    assert python("import gc\n" + code.format(700)) == "(10000, 10, 10)\n"
    assert python("import gc\n" + code.format(50_000)) == "(50000, 5, 5)\n"
