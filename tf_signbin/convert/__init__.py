"""Conversion of models to .tflite files with packed layers, and back."""

from tf_signbin.convert.converter import UnpackedLayersError, check_conversion, convert
from tf_signbin.convert.emulation import emulate
from tf_signbin.convert.files import read_file, replacing, write_file
from tf_signbin.convert.inspect import LayerInfo, ModelInfo, inspect_model
from tf_signbin.convert.report import ConversionReport, LayerReport
from tf_signbin.convert.rewrite import unpack
from tf_signbin.convert.stock import ConversionError
from tf_signbin.convert.verify import VerificationError, VerifyReport, verify

__all__ = [
    "ConversionError",
    "ConversionReport",
    "LayerInfo",
    "LayerReport",
    "ModelInfo",
    "UnpackedLayersError",
    "VerificationError",
    "VerifyReport",
    "check_conversion",
    "convert",
    "emulate",
    "inspect_model",
    "read_file",
    "replacing",
    "unpack",
    "verify",
    "write_file",
]
