"""Errors that this package raises for model files."""


class ModelError(ValueError):
    """A model file that cannot be read, or that holds something this version cannot handle."""
