"""Kernels that lack something: each feature that `skerry doctor` lists, with its call reported ENOSYS. What can be replaced is, and says so; without
what cannot be, nothing starts, and the name of it is told."""
import json
import os
import re
import subprocess

import pytest
import sandbox as sb

WITHOUT = sb.WITHOUT
MB = 1 << 20
# Feature to calls. What is not here has no call of its own: the kernel's version, root, control groups (files; both versions are run, here and in
# `make test-vm`), namespaces and veth (flags and messages of calls that everything needs).
REPLACED = {"close_range": "close_range", "favordynmods": "mount:3=14", "scratch disks": f"ioctl:1={0x4C82}"}  # 14: nosuid, nodev, noexec; LOOP_CTL_GET_FREE
REQUIRED = {"openat2": "openat2", "pidfds": "pidfd_open", "sealed memory files": "memfd_create", "mount calls": "fsmount", "id-mapped mounts": "mount_setattr",
            "overlay": "fsopen", "seccomp": "seccomp"}


def features(text):
    return {f["feature"]: f for f in map(json.loads, text.splitlines())}


@pytest.fixture(scope="module")
def bare():
    """Without everything that can be replaced, at once; and without clone3, which nothing needs."""
    b = sb.Sandbox([*WITHOUT, ",".join([*REPLACED.values(), "clone3"])])
    yield b
    b.close()


def test_every_feature_is_forced_or_has_no_call_of_its_own(box):
    listed = features((box.run / "features.jsonl").read_text())
    assert set(listed) - set(REPLACED) - set(REQUIRED) == {"kernel", "root", "user namespaces", "network namespaces", "veth", "nftables", "control groups"}
    for name, feature in listed.items():
        assert feature["ok"] or name in REPLACED, feature
        assert bool(feature["replaced_by"]) == (name in REPLACED), feature


def test_what_is_replaced_is_told(bare):
    listed = features((bare.run / "features.jsonl").read_text())
    assert {name for name, f in listed.items() if not f["ok"]} == set(REPLACED)
    assert all(listed[name]["replaced_by"] for name in REPLACED)
    told = [json.loads(line) for line in (bare.folder / "filler.log").read_text().splitlines()]
    assert {line["feature"] for line in told if line.get("feature")} == set(REPLACED)


def test_without_close_range_and_clone3_containers_are_what_they_are(bare, instance):
    i = bare.up()
    assert re.sub(r"\[\d+\]", "", i.get("/fds")) == re.sub(r"\[\d+\]", "", instance.get("/fds")), "no other descriptors"
    assert i.values("/ids") == instance.values("/ids")
    i.kill()


def test_without_favordynmods_containers_are_in_their_groups(bare):
    assert not any("favordynmods" in line for line in open("/proc/self/mounts") if str(bare.folder) in line)
    i = bare.up()
    assert any(pids for pids in bare.groups().values())
    i.kill()


def test_without_loop_devices_only_scratch_disks_are_not_to_be_had(bare):
    failed = bare.connect().wait(sb.START_FAILED, bare.boot(scratch=16 * MB, disk=True))
    assert failed["phase"] == "scratch" and "Function not implemented" in failed["message"], failed
    i = bare.up()
    assert i.get("/hello") == "hello\n"
    i.kill()


@pytest.mark.parametrize("feature", REQUIRED)
def test_without_what_nothing_replaces_nothing_starts(tmp_path, feature):
    os.chmod(tmp_path, 0o755)
    options = ["--run-dir", str(tmp_path / "r"), "--state-dir", str(tmp_path / "s"), "--tag", "f" + os.urandom(3).hex(), "--subnet", sb.SUBNET + ".0.0/16"]
    without = [*WITHOUT, REQUIRED[feature], str(sb.BIN / "skerry-sandboxd")]
    doctor = subprocess.run([*without, "doctor", *options], capture_output=True, text=True, timeout=20 * sb.SLOW)
    filler = subprocess.run([*without, "filler", *options], capture_output=True, text=True, timeout=20 * sb.SLOW)
    subprocess.run(["umount", tmp_path / "r/cgroup"], capture_output=True)
    assert doctor.returncode == 1
    listed = features(doctor.stdout)
    assert not listed[feature]["ok"] and "Function not implemented" in listed[feature]["detail"] and not listed[feature]["replaced_by"]
    assert filler.returncode == 1
    assert f"lacks {feature} (" in filler.stderr or f", {feature} (" in filler.stderr, filler.stderr
