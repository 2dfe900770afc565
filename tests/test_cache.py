"""Compiled programs are kept for the next process, and nothing that goes wrong there is felt."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import jax
import pytest

from etastar import _cache

# Compiles some programs, and says how many it loaded and how many not.
SCRIPT = """
import sys
from collections import Counter
import jax
import etastar._precision
seen = Counter()
jax.monitoring.register_event_listener(lambda event, **_: seen.update([event.rsplit("/", 1)[-1]]))
{before}
x = jax.numpy.arange(7.0)
total = float(jax.jit(lambda x: (x * x).cumsum().sum())(x))
assert all(float(jax.jit(lambda x, n=n: n * x[n])(x)) == n * n for n in range(3))
print(total, seen["cache_hits"], seen["cache_misses"])
"""
LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
"""
TOTAL = sum((7 - i) * i * i for i in range(7))


def start(cache: object, before: str = "", **variables: str) -> subprocess.Popen[str]:
    """A process that compiles, with its own cache."""
    environment = os.environ | {"ETASTAR_CACHE": str(cache)} | variables
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    words = [sys.executable, "-c", SCRIPT.format(before=before)]
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def result(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Programs loaded, and programs compiled; the sum is right and nothing is on stderr."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err == ""
    total, hits, misses = out.split()
    assert float(total) == TOTAL
    return int(hits), int(misses)


def programs(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*-cache"))


@pytest.mark.slow
def test_nothing_is_kept_where_the_user_wants_nothing(tmp_path):
    assert result(start("off", XDG_CACHE_HOME=str(tmp_path)))[0] == 0
    assert programs(tmp_path) == []


@pytest.mark.slow
def test_a_damaged_program_is_compiled_again(tmp_path):
    _, compiled = result(start(tmp_path))
    damages = (
        lambda whole: whole[: len(whole) // 2],
        lambda _: b"",
        lambda whole: os.urandom(len(whole)),
        lambda _: zlib.compress(b"\0\0\0\1 no program"),
    )
    assert compiled >= len(damages)
    for index, path in enumerate(programs(tmp_path)):
        path.write_bytes(damages[min(index, 3)](path.read_bytes()))
    assert result(start(tmp_path)) == (0, compiled)
    # What cannot be decompressed is written anew, what can is no program but stays.
    assert result(start(tmp_path)) == (3, compiled - 3)


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_only_the_compilation(tmp_path):
    _, compiled = result(start(tmp_path, before=LIMITED))
    assert all(path.stat().st_size <= 100 for path in programs(tmp_path))
    assert result(start(tmp_path)) == (0, compiled)


@pytest.mark.slow
def test_a_folder_that_cannot_be_made_or_goes_away_is_no_matter(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert result(start(file))[0] == 0
    gone = f"import shutil; shutil.rmtree({str(tmp_path / 'gone')!r})"
    assert result(start(tmp_path / "gone", before=gone))[0] == 0
    assert result(start("", HOME="/proc/no/such", XDG_CACHE_HOME=""))[0] == 0


@pytest.mark.slow
def test_processes_at_once_share_one_folder(tmp_path):
    together = [start(tmp_path) for _ in range(3)]
    needed = {sum(result(process)) for process in together}
    assert needed == {len(programs(tmp_path))} != {0}
    assert result(start(tmp_path)) == (*needed, 0)  # the next process loads all


def test_a_folder_that_jax_was_given_already_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("ETASTAR_CACHE", str(tmp_path / "ours"))
    before = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path / "theirs"))
        _cache.keep_programs()
        after = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
        assert after == str(tmp_path / "theirs")
        assert not (tmp_path / "ours").exists()
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_the_folder_is_the_users_unless_another_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "jaxlib_version", "0.10.2")
    monkeypatch.delenv("ETASTAR_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert _cache._root() == tmp_path / ".cache" / "etastar" / "xla"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert _cache._root() == tmp_path / ".cache" / "etastar" / "xla"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert _cache._root() == tmp_path / "caches" / "etastar" / "xla"
    monkeypatch.setenv("ETASTAR_CACHE", "~/mine")
    assert _cache._root() == tmp_path / "mine" / "xla"
    for word in ("off", "OFF", "0", "no"):
        monkeypatch.setenv("ETASTAR_CACHE", word)
        assert _cache._root() is None


def test_an_old_jaxlib_keeps_programs_only_where_the_user_names_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "jaxlib_version", "0.9.2")
    monkeypatch.delenv("ETASTAR_CACHE")
    assert _cache._root() is None
    monkeypatch.setenv("ETASTAR_CACHE", str(tmp_path))
    assert _cache._root() == tmp_path / "xla"


def test_every_kind_of_cpu_and_every_jaxlib_has_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ETASTAR_CACHE", str(tmp_path))
    here = _cache._prepared()
    assert here is not None
    assert here == _cache._prepared()
    monkeypatch.setattr(_cache, "_cpu", lambda: "another")
    there = _cache._prepared()
    monkeypatch.setattr(_cache, "jaxlib_version", "99.0.0")
    later = _cache._prepared()
    assert len({here, there, later}) == 3


def test_the_name_of_a_cpu_tells_what_it_can_run(tmp_path, monkeypatch):
    """The features of the CPU decide, the speed that it has at the moment does not."""
    text = "processor : 0\nmodel name : X\ncpu MHz : {}\nflags : sse {}\n\nprocessor : 1\n"
    real_open = open
    names = []
    for mhz, flags in ((1000, "avx2"), (2000, "avx2"), (1000, "avx2 avx512f")):
        (tmp_path / "cpuinfo").write_text(text.format(mhz, flags))
        monkeypatch.setattr(
            "builtins.open", lambda _, *a, **k: real_open(tmp_path / "cpuinfo", *a, **k)
        )
        names.append(_cache._cpu())
        monkeypatch.undo()
    assert names[0] == names[1] != names[2]


def test_a_system_that_does_not_describe_its_cpu_shares_with_no_other(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", refuse)
    names = []
    for node in ("one", "two"):
        monkeypatch.setattr(_cache.platform, "node", lambda node=node: node)
        names.append(_cache._cpu())
    assert names[0] != names[1]


def test_the_oldest_programs_make_room_and_other_files_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("ETASTAR_CACHE", str(tmp_path))
    monkeypatch.setattr(_cache, "MOST_BYTES", 1000)
    folder = tmp_path / "xla" / f"0.1.0-{_cache._cpu()}"
    folder.mkdir(parents=True)
    mine = [tmp_path / "notes-cache", tmp_path / "xla" / "notes-cache", folder / "notes.txt"]
    for path in mine:
        path.write_bytes(b"0" * 5000)
    kept = [folder / f"jit_{i}-cache" for i in range(12)]
    for age, path in enumerate(kept):
        path.write_bytes(b"0" * 100)
        os.utime(path, (age + 1e9, age + 1e9))
    _cache._prepared()
    assert [path for path in kept if path.exists()] == kept[-5:]
    assert all(path.exists() for path in mine)


def test_a_folder_of_another_user_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("ETASTAR_CACHE", str(tmp_path))
    assert _cache._prepared() is not None
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    assert _cache._prepared() is None
