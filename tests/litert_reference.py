"""Stock .tflite files on LiteRT's builtin kernels, by default the reference ones."""

from __future__ import annotations

import ai_edge_litert.interpreter as litert
import numpy as np

_RESOLVERS = litert.OpResolverType
# For operators that have no reference kernel, such as ELU.
BUILTIN = _RESOLVERS.BUILTIN_WITHOUT_DEFAULT_DELEGATES


class Reference:
    """A file of one input, without packed operators."""

    def __init__(self, flatbuffer: bytes, kernels: object = _RESOLVERS.BUILTIN_REF) -> None:
        self.interpreter = litert.Interpreter(
            model_content=flatbuffer, experimental_op_resolver_type=kernels
        )
        self.interpreter.allocate_tensors()
        self.operators = self.interpreter._get_ops_details()

    def tensor(self, index):
        return self.interpreter._get_tensor_details(index, 0)

    def operator_names(self) -> set[str]:
        return {op["op_name"] for op in self.operators}

    def float_operators(self) -> list[str]:
        """Operators that compute in float32; the conversion of the output does not count."""
        return [
            op["op_name"]
            for op in self.operators
            if op["op_name"] != "DEQUANTIZE"
            and any(self.tensor(t)["dtype"] == np.float32 for t in op["outputs"])
        ]

    def filters(self):
        """[(filter, scales)] of the convolutions and dense layers, output channels first."""
        found = []
        for op in self.operators:
            if op["op_name"] in ("CONV_2D", "FULLY_CONNECTED"):
                scales = self.tensor(op["inputs"][1])["quantization_parameters"]["scales"]
                found.append((self.interpreter.get_tensor(op["inputs"][1]), scales))
        return found

    def predict(self, images: np.ndarray) -> np.ndarray:
        """One image at a time: the batch size of the file stays."""
        inputs = self.interpreter.get_input_details()[0]["index"]
        outputs = self.interpreter.get_output_details()[0]["index"]
        results = []
        for image in images:
            self.interpreter.set_tensor(inputs, image[None])
            self.interpreter.invoke()
            results.append(self.interpreter.get_tensor(outputs)[0].copy())
        return np.array(results)

    def steps(self, images: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """How many steps of its int8 output the file is away from the expected values."""
        return np.abs(self.predict(images) - expected) / self.output_scale()

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs by the names that Keras gave them."""
        run = self.interpreter.get_signature_runner()
        (name,) = run.get_input_details()
        results = [run(**{name: image[None]}) for image in images]
        return {key: np.concatenate([r[key] for r in results]) for key in results[0]}

    def output_scale(self, name: str | None = None) -> float:
        """Size of one step of the int8 tensor before the (named) output's DEQUANTIZE."""
        outputs = self.interpreter.get_output_details()
        if name is not None:
            outputs = [self.interpreter.get_signature_runner().get_output_details()[name]]
        (output,) = (details["index"] for details in outputs)
        (last,) = (op for op in self.operators if output in op["outputs"])
        assert last["op_name"] == "DEQUANTIZE"
        return self.tensor(last["inputs"][0])["quantization_parameters"]["scales"][0]
