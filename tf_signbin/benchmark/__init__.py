"""Measures converted models against XNNPACK, interleaved in one process."""
