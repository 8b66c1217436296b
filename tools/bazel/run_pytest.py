"""Entry point of the py_test targets: runs pytest over the files in argv."""

import os
import sys

import pytest

if __name__ == "__main__":
    # Relative to the run files, and tests change their folder.
    delegate = os.environ.get("TF_SIGNBIN_DELEGATE")
    if delegate:
        os.environ["TF_SIGNBIN_DELEGATE"] = os.path.abspath(delegate)
    options = ["--import-mode=importlib", "-p", "no:cacheprovider", "-q", "-m", "not slow"]
    markers = ["-o", "markers=slow: takes more than some seconds"]
    sys.exit(pytest.main([*options, *markers, *sys.argv[1:]]))
