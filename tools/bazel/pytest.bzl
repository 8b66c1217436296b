"""A py_test that runs pytest over its sources."""

def pytest_test(name, srcs, data = [], deps = [], **kwargs):
    """Tests with the Python packages of the interpreter that Bazel finds first in PATH.

    Args:
      name: of the target.
      srcs: test files and what they import; the files test_*.py are run.
      data: files for run time; the delegate's library among them is found by the tests.
      deps: py_library targets.
      **kwargs: passed on to py_test.
    """
    native.py_test(
        name = name,
        srcs = srcs + ["//tools/bazel:run_pytest.py"],
        main = "//tools/bazel:run_pytest.py",
        args = ["$(rootpath %s)" % src for src in srcs if src.rpartition("/")[2].startswith("test_")],
        data = data,
        env = {"TF_SIGNBIN_DELEGATE": "$(rootpath //delegate:libtf_signbin_delegate.so)"},
        python_version = "PY3",
        deps = deps,
        **kwargs
    )
