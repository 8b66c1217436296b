"""`--as`: both sides see a lesser processor. Each view takes a process of its own."""

import json

import pytest

from tests import fresh_process
from tf_signbin.benchmark import views
from tf_signbin.cli import main

VIEWS = views.available_views()
in_every_view = pytest.mark.parametrize(
    "view", VIEWS or [pytest.param(None, marks=pytest.mark.skip("no views on this machine"))]
)
needs_a_view = pytest.mark.skipif(not VIEWS, reason="no views on this machine")


@in_every_view
def test_benchmark_says_what_both_sides_ran(view, tmp_path):
    path = tmp_path / "result.json"
    printed = fresh_process.run(f"""
        from tf_signbin.benchmark import layers
        from tf_signbin.cli import main

        layers.LAYER_GROUPS["3x3"] = (layers.LayerShape(7, 16, 16),)
        assert main(["benchmark", "layers", "--as", {view!r}, "--seconds", "0.01",
                     "--json", {str(path)!r}]) == 0
    """)
    result = json.loads(path.read_text())
    assert result["view"]["name"] == view
    assert f"view {view}" in printed
    assert views.VIEWS[view] in printed
    assert all(answers > 0 for answers in result["view"]["cpuid_answers"].values())
    names = list(views.VIEWS)
    hidden, shown = names[: names.index(view)], names[names.index(view) :]
    executed = result["view"]["executed"]
    assert not any(executed[name] for name in hidden)
    assert executed["avx2"] > 0
    if view in ("avx512vnni", "avx2"):  # XNNPACK runs the best that it sees
        assert (executed["avx512vnni"] > 0) == (view == "avx512vnni")
    (row,) = result["layers"]
    assert any(name.rstrip("vni") in row["kernel"] for name in shown), row["kernel"]


@in_every_view
def test_the_delegate_offers_what_the_view_shows(view):
    isas = fresh_process.run(f"""
        from tf_signbin.benchmark import views
        from tf_signbin.runtime.delegate import supported_isas

        views.enter_delegate({view!r})
        print(*supported_isas())
    """).split()
    every = ["amx", "avx512vnni", "avx512", "avxvnni", "avx2", "portable"]
    hidden = {
        "amx": [],
        "avx512vnni": ["amx"],
        "avxvnni": ["amx", "avx512vnni", "avx512"],
        "avx2": ["amx", "avx512vnni", "avx512", "avxvnni"],
    }[view]
    assert isas[0] == view
    assert set(isas) <= set(every) - set(hidden)


@needs_a_view
def test_a_view_of_a_runtime_that_was_used_is_refused():
    message = fresh_process.run(f"""
        from tf_signbin.benchmark import views
        from tf_signbin.benchmark.contenders import Settings, xnnpack
        from tf_signbin.benchmark.layers import LayerShape
        from tf_signbin.benchmark.weights import WeightSpec

        xnnpack(LayerShape(4, 8, 8).model("int8", WeightSpec("dense")), Settings())
        try:
            views.enter({VIEWS[-1:]!r}[0])
        except views.ViewError as error:
            print(error)
    """)
    assert "ai_edge_litert did not ask which processor this is, so it knew before" in message
    assert "a process of its own" in message


@needs_a_view
def test_a_view_of_a_delegate_that_was_used_is_refused():
    message = fresh_process.run(f"""
        from tf_signbin.benchmark import views
        from tf_signbin.runtime.delegate import supported_isas

        supported_isas()
        try:
            views.enter_delegate({VIEWS[-1:]!r}[0])
        except views.ViewError as error:
            print(error)
    """)
    assert "the delegate did not ask which processor this is, so it knew before" in message


@needs_a_view
def test_threads_may_start_while_a_view_is_shown():
    """The C library blocks all signals meanwhile, and the new thread has the trap flag, too."""
    printed = fresh_process.run(f"""
        import signal
        import threading
        from tf_signbin.benchmark import views

        done = []
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        with views._shown({VIEWS[-1:]!r}[0], []) as seen:
            thread = threading.Thread(target=lambda: done.append(sum(range(10_000_000))))
            thread.start()
            thread.join()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
        print(done[0], seen.steps)
    """)
    total, steps = (int(word) for word in printed.split())
    assert total == sum(range(10_000_000))
    # The thread's own loop takes many times as many instructions, which are no steps.
    assert 1000 < steps < 10_000_000


@pytest.mark.parametrize("view", [view for view in views.VIEWS if view not in VIEWS] or ["none"])
def test_what_the_machine_cannot_be_shown_as_is_refused(view, capsys):
    if view == "none":
        pytest.skip("this machine has every view")
    assert main(["benchmark", "layers", "--as", view, "--seconds", "0.01"]) == 1
    message = capsys.readouterr().err
    assert "views are for Linux on x86-64" in message or f"cannot be shown as {view}" in message


@pytest.fixture
def fresh_library():
    views._library.cache_clear()
    yield
    views._library.cache_clear()


def test_there_are_none_on_other_machines(monkeypatch, fresh_library):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert views.available_views() == []
    with pytest.raises(views.ViewError, match="for Linux on x86-64, not Linux on aarch64"):
        views.enter("avx2")


def test_a_missing_library_is_named(monkeypatch, fresh_library):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(views, "_LIBRARY", "libnone.so")
    assert views.available_views() == []
    with pytest.raises(views.ViewError, match=r"libnone\.so is missing: run `make setup`"):
        views.enter("avx2")
