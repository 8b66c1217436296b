"""Conversion of models to .tflite files with packed layers, and back."""

from tf_signbin.convert.converter import UnpackedLayersError, convert
from tf_signbin.convert.files import read_file, write_file
from tf_signbin.convert.report import ConversionReport, LayerReport
from tf_signbin.convert.rewrite import unpack

__all__ = [
    "ConversionReport",
    "LayerReport",
    "UnpackedLayersError",
    "convert",
    "read_file",
    "unpack",
    "write_file",
]
