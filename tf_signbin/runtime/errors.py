"""Errors that running a model can raise."""


class DelegateError(RuntimeError):
    """The delegate's library or one of its options cannot be used; the message says what to do."""


class RuntimeNotFoundError(ImportError):
    """No TensorFlow Lite runtime, or not the one that was asked for, is installed."""
