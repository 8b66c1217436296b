"""The delegate's fixtures serve here too."""

from tests.delegate.conftest import delegate_path, runner

__all__ = ["delegate_path", "runner"]
