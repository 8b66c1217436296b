"""The guide's Kotlin, compiled against stubs of the classes that it names.

The stubs hold the signatures of LiteRT's Kotlin API (litert/kotlin of its sources, August 2026).
"""

import shutil
import subprocess

import pytest

from tests.docs.blocks import ROOT, blocks

_STUBS = {
    "android/content": """
package android.content
class Context { val assets = android.content.res.AssetManager() }
""",
    "android/content/res": """
package android.content.res
class AssetManager
""",
    "com/google/ai/edge/litert": """
package com.google.ai.edge.litert
import android.content.res.AssetManager
enum class Accelerator { NONE, CPU, GPU, NPU }
class Environment private constructor() {
  enum class Option { CompilerPluginLibraryDir, DispatchLibraryDir }
  companion object {
    @JvmStatic fun create(options: Map<Option, String> = mapOf()): Environment = Environment()
  }
}
class TensorBuffer {
  fun writeFloat(data: FloatArray) {}
  fun writeInt8(data: ByteArray) {}
  fun readFloat(): FloatArray = FloatArray(0)
  fun readInt8(): ByteArray = ByteArray(0)
}
class CompiledModel private constructor() {
  class Options constructor(internal val accelerators: Set<Accelerator>) {
    constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))
  }
  fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf()
  fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf()
  fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {}
  companion object {
    @JvmStatic
    fun create(
      assetManager: AssetManager, assetName: String, options: Options = Options(Accelerator.CPU),
      optionalEnv: Environment? = null): CompiledModel = CompiledModel()
  }
}
""",
}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("kotlinc") is None, reason="not installed: kotlin")
def test_kotlin_of_the_guide_compiles(tmp_path):
    found = [b for b in blocks(ROOT / "docs/guides/android.md") if b.language == "kotlin"]
    assert found
    sources = []
    for folder, text in _STUBS.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        sources.append(tmp_path / folder / "Stubs.kt")
        sources[-1].write_text(text)
    for number, block in enumerate(found):
        sources.append(tmp_path / f"Snippet{number}.kt")
        sources[-1].write_text(block.code)
    run = subprocess.run(
        ["kotlinc", *map(str, sources), "-d", str(tmp_path / "out")], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert list((tmp_path / "out").rglob("Classifier.class"))
