"""`images/build` as a command: what is there is left alone, and a killed or damaged build is recovered from."""
import json
import os
import shutil
import signal
import subprocess

import pytest
from conftest import IMAGES

TIMEOUT_S = 180


def build(out, *options, env=None):
    return subprocess.run([IMAGES / "build", "--out", out, *options], capture_output=True, text=True, timeout=TIMEOUT_S, env=os.environ | (env or {}))


@pytest.fixture
def out(store, tmp_path):
    """An image folder with the packages of `store` at hand, and no image."""
    shutil.copytree(store / "cache", tmp_path / "out/cache")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def built(store, tmp_path_factory):
    """The smallest image, built anew."""
    out = tmp_path_factory.mktemp("built") / "out"
    shutil.copytree(store / "cache", out / "cache")
    done = build(out, "--only", "go")
    assert done.returncode == 0, done.stderr
    return out


def tar_of(out, name):
    return out / name / (json.loads((out / name / "current").read_text())["recipe"] + ".tar")


def test_two_builds_give_the_same_bytes(built, store):
    packages = [folder / "go" / f"{tar_of(folder, 'go').stem}.packages" for folder in (built, store)]
    assert packages[0].read_text() == packages[1].read_text(), "the mirror moved between the two builds: raise `refresh` and rebuild"
    assert tar_of(built, "go").read_bytes() == tar_of(store, "go").read_bytes()


def test_a_present_image_is_left_alone(built):
    before = [(path, path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted((built / "go").iterdir())]
    done = build(built, "--only", "go")
    assert done.returncode == 0 and "1 of 1 present" in done.stdout
    assert [(path, path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted((built / "go").iterdir())] == before


def test_nothing_is_left_beside_the_images(built):
    assert sorted(path.name for path in built.iterdir()) == [".lock", "cache", "go"]
    assert sorted(path.suffix for path in (built / "go").iterdir()) == ["", ".packages", ".tar"]


def test_list_says_what_is_there_and_builds_nothing(built):
    lines = {line.split()[0]: line.split()[1:] for line in build(built, "--list").stdout.splitlines()}
    assert lines["go"][:2] == [tar_of(built, "go").stem, "present"]
    assert lines["python"][1] == "missing" and not (built / "python").exists()


def test_a_cut_off_tar_is_built_again(built, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(built, out)
    whole = tar_of(out, "go").read_bytes()
    os.truncate(tar_of(out, "go"), len(whole) // 2)
    done = build(out, "--only", "go")
    assert done.returncode == 0, done.stderr
    assert tar_of(out, "go").read_bytes() == whole


def test_what_a_killed_run_left_is_swept(out):
    (out / "work/go/root").mkdir(parents=True)
    (out / "work/go/root/half").write_text("half")
    (out / "go").mkdir()
    (out / "go/.0123.tar.tmp").write_text("half")
    done = build(out, "--only", "go")
    assert done.returncode == 0, done.stderr
    assert not (out / "work").exists() and not (out / "go/.0123.tar.tmp").exists()
    assert (out / "go/current").exists()


def test_sigkill_leaves_no_image_and_no_process_and_the_next_run_recovers(out, tmp_path):
    """A stand-in for mmdebstrap reports that it runs and then never ends, so that the kill falls into the build for certain."""
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "mmdebstrap").write_text(f'#!/bin/sh\nexec 9>{alive}\necho started >&9\nread -r never <{tmp_path}/never\n')
    (bin_folder / "mmdebstrap").chmod(0o755)
    os.mkfifo(tmp_path / "never")
    process = subprocess.Popen([IMAGES / "build", "--out", out, "--only", "go"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=os.environ | {"PATH": f"{bin_folder}:{os.environ['PATH']}"})
    try:
        with open(alive) as reader:
            assert reader.readline() == "started\n"
            process.send_signal(signal.SIGKILL)
            process.wait()
            # The stand-in holds the other end as long as it lives: end of file is its death.
            assert reader.read() == ""
    finally:
        process.kill()
        process.wait()
    assert (out / "work").exists(), "the kill came before the build began"
    assert not (out / "go/current").exists() and list(out.glob("go/*.tar")) == []
    done = build(out, "--only", "go")
    assert done.returncode == 0, done.stderr
    assert (out / "go/current").exists() and not (out / "work").exists()


def test_a_failed_image_is_named_and_leaves_the_old_one(built, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(built, out)
    current = json.loads((out / "go/current").read_text())
    old = current["recipe"]
    # As if the recipe had changed since.
    (out / "go" / f"{old}.tar").rename(out / "go" / f"{'0' * 64}.tar")
    (out / "go/current").write_text(json.dumps(current | {"recipe": "0" * 64}))
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "mmdebstrap").write_text("#!/bin/sh\necho E: the mirror is on fire\nexit 1\n")
    (bin_folder / "mmdebstrap").chmod(0o755)
    done = build(out, "--only", "go", env={"PATH": f"{bin_folder}:{os.environ['PATH']}"})
    assert done.returncode == 1
    assert "go: mmdebstrap trixie ended with status 1" in done.stderr and "the mirror is on fire" in done.stderr
    assert json.loads((out / "go/current").read_text())["recipe"] == "0" * 64 and (out / "go" / f"{'0' * 64}.tar").exists()
    assert build(out, "--only", "go", "--prune").returncode == 0
    assert [path.stem for path in (out / "go").glob("*.tar")] == [old]


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path):
    done = build(tmp_path / "out", "--only", "pyton")
    assert done.returncode == 1
    assert "no image pyton" in done.stderr and "python" in done.stderr and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    done = build(tmp_path / "file/out", "--only", "go")
    assert done.returncode == 1 and "--out" in done.stderr and "Traceback" not in done.stderr
