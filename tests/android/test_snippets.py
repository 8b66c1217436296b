"""The guide's Kotlin, compiled against stubs of the classes that it names, and run on Linux.

The stubs hold the signatures of LiteRT's Kotlin API and TensorFlow Lite's Java API (litert/kotlin
and tflite/java of LiteRT's sources, August 2026).
"""

import shutil
import subprocess
import zipfile

import pytest

from tests.docs.blocks import ROOT, blocks, jni_folders
from tf_signbin.runtime import delegate_path

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


_JAVA_STUBS = {
    "Delegate": """
package org.tensorflow.lite;
public interface Delegate extends java.io.Closeable {
  long getNativeHandle();
  @Override default void close() {}
}
""",
    "Interpreter": """
package org.tensorflow.lite;
public final class Interpreter implements AutoCloseable {
  public static class Options {
    public Options setNumThreads(int threads) { return this; }
    public Options addDelegate(Delegate delegate) { return this; }
  }
  public Interpreter(java.nio.ByteBuffer model, Options options) {}
  public void run(Object input, Object output) {}
  @Override public void close() {}
}
""",
}
_MAIN = """
package org.example
fun main() {
  val delegate = SignBinDelegate(threads = 2)
  println(delegate.getNativeHandle() != 0L)
  delegate.close()
  delegate.close()
  println(delegate.getNativeHandle())
}
"""
GUIDE = ROOT / "docs/guides/android.md"


def run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The guide's Kotlin, with the stubs and a main function, as one .jar file."""
    folder = tmp_path_factory.mktemp("kotlin")
    java = [folder / f"{name}.java" for name in _JAVA_STUBS]
    for path in java:
        path.write_text(_JAVA_STUBS[path.stem])
    stubs = folder / "stubs"
    run("javac", "-d", stubs, *java)
    snippets = [block.code for block in blocks(GUIDE) if block.language == "kotlin"]
    assert len(snippets) == 2
    sources = [folder / "Main.kt"]
    sources[0].write_text(_MAIN)
    for number, text in enumerate([*_STUBS.values(), *snippets]):
        sources.append(folder / f"Source{number}.kt")
        sources[-1].write_text(text)
    jar = folder / "program.jar"
    run("kotlinc", *sources, "-cp", stubs, "-include-runtime", "-d", jar)
    return jar, stubs


@pytest.fixture
def jni_library(tmp_path):
    """The folder with the guide's JNI library, built by the guide's CMake lines."""
    project = tmp_path / "main/cpp"
    project.mkdir(parents=True)
    libraries = tmp_path / "main/jniLibs/here"
    libraries.mkdir(parents=True)
    (libraries / delegate_path().name).symlink_to(delegate_path())
    for name in ("delegate.cc", "CMakeLists.txt"):
        (text,) = (b.code for b in blocks(GUIDE) if name in b.code.partition("\n")[0])
        (project / name).write_text(text)
    flags = " ".join(f"-I{include}" for include in jni_folders())
    build = tmp_path / "build"
    run("cmake", "-S", project, "-B", build, "-DANDROID_ABI=here", f"-DCMAKE_CXX_FLAGS={flags}")
    run("cmake", "--build", build)
    return build


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("kotlinc") is None, reason="not installed: kotlin")
@pytest.mark.skipif(not jni_folders(), reason="not installed: a JDK")
def test_kotlin_of_the_guide_makes_a_delegate(program, jni_library):
    jar, stubs = program
    with zipfile.ZipFile(jar) as archive:
        assert {"Classifier.class", "org/example/Scorer.class"} <= set(archive.namelist())
    lines = run("java", f"-Djava.library.path={jni_library}", "-cp", f"{jar}:{stubs}",
                "org.example.MainKt").split()  # fmt: skip
    assert lines == ["true", "0"]
