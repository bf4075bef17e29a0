"""Processes of the tests begin with their imports: without them all would pass, only slower."""

from helpers.commands import run_code


def test_processes_of_the_tests_begin_with_their_imports() -> None:
    code = (
        "import sys\n"
        "ready = [bool(sys.modules['jessl.views.kernels']._ready), 'pandas' in sys.modules]\n"
        "print(ready, 'PYTHONPATH' in __import__('os').environ)"
    )
    done = run_code(code, environment={})
    assert (done.returncode, done.stdout) == (0, "[True, True] False\n"), done.stderr
