"""`[runtime] scratch`: a disk for what an instance writes. That it is one, that it costs memory nothing, and that nothing of it outlasts anybody.
Attacks on it are in tests/security/test_scratch_disks.py."""
import contextlib
import os
import pathlib
import re
import subprocess

import pytest
import sandbox as sb
from test_spares import waiting

MB = 1 << 20


class Box(sb.Sandbox):
    more = ["--max-scratch-total-mb", "256"]

    def options(self):
        return [*super().options(), *self.more]

    def disks(self):
        """Sizes in MB of the loop devices that hold a disk of this box, by name."""
        found = {}
        for device in pathlib.Path("/sys/block").glob("loop*"):
            with contextlib.suppress(OSError):
                if str(self.folder) in (device / "loop/backing_file").read_text():
                    found[device.name] = int((device / "size").read_text()) // 2048
        return found

    def wait_for_disks(self, expected):
        self.wait_until(lambda: sorted(self.disks().values()) == expected, f"disks are {self.disks()}, not {expected}")

    def kill_all(self):
        for role in ("starter", "filler", "reaper"):
            self.kill(role)

    def close(self):
        super().close()
        assert not self.disks()


@pytest.fixture(scope="module")
def box():
    b = Box()
    yield b
    b.close()


def code_layer(box):
    """A layer below /app, as a function's code is."""
    top = box.state / "layers" / ("c" * 64)
    (top / "app").mkdir(parents=True)
    for path in (top, top / "app"):
        os.chown(path, sb.LAYER_ID_BASE, sb.LAYER_ID_BASE)
    (box.state / "layers" / ("c" * 64 + ".meta")).write_text("/app 1 1\n")
    return "sha256:" + "c" * 64


def test_functions_without_one_have_none_and_have_none_made(box):
    i = box.up()
    assert box.disks() == {}
    i.kill()


def test_what_is_written_is_disk_and_neither_memory_nor_more_than_asked_for(box):
    i = box.up(memory=64 * MB, scratch=128 * MB, disk=True)
    seen = i.values("/disk/tmp/filled")  # twice the memory, page cache and all
    assert seen["errno"] in ("28", "27") and 118 * MB <= int(seen["written"]) <= 128 * MB, seen
    assert i.get("/hello") == "hello\n"
    assert " / " in i.get("/read/proc/self/mounts")
    i.kill()


def test_a_disk_goes_with_its_instance_and_the_next_one_waits_already(box):
    i = box.up(scratch=32 * MB, disk=True)
    box.wait_until(lambda: sorted(box.disks().values()).count(32) == 2, "none was made ahead")
    before = box.disks()
    i.kill()
    box.wait_until(lambda: sorted(box.disks().values()).count(32) == 1, "the disk stays")
    j = box.up(scratch=32 * MB, disk=True)
    assert set(box.disks()) & set(before), "it was given what was made ahead"
    j.kill()


def test_what_there_is_no_room_for_is_refused_by_name_and_what_waits_unused_makes_room(box):
    big = box.up(scratch=200 * MB, disk=True)  # 256 for all: what other tests left ready went
    id_ = box.boot(scratch=64 * MB, disk=True)
    failed = box.connect().wait(sb.START_FAILED, id_)
    assert failed["phase"] == "scratch" and "64 MB: 56 MB of the 256 MB" in failed["message"], failed
    big.kill()
    box.up(scratch=64 * MB, disk=True).kill()


def test_a_spare_with_a_disk_keeps_it_as_an_instance(box):
    kind = {"scratch": 48 * MB, "disk": True, "memory": 64 * MB}
    box.keep_spares(1, **kind)
    box.wait_until(lambda: waiting(box), "no spare came up")
    i = box.up(layers=[box.layer, code_layer(box)], runtime_layers=1, **kind)
    assert i.started["prestarted"]
    seen = i.values("/disk/tmp/filled")
    assert seen["errno"] in ("28", "27") and 40 * MB <= int(seen["written"]) <= 48 * MB, seen
    i.kill()
    box.keep_spares(0, **kind)


def test_after_every_process_was_killed_a_disk_lives_as_long_as_its_instance(box):
    i = box.up(scratch=32 * MB, disk=True)
    i.get("/write/tmp/kept")
    box.kill_all()
    box.wait_for_disks([32])  # what was ready went with those that held it
    for role in ("reaper", "filler", "starter"):
        box.start(role)
    box.reconnect()
    assert i.values("/stat/tmp/kept")["size"] == "0"
    id_ = box.boot(scratch=240 * MB, disk=True)  # a filler that made none of it knows of it
    failed = box.connect().wait(sb.START_FAILED, id_)
    assert "224 MB of the 256 MB" in failed["message"], failed
    box.signal(i.id, 1)
    assert box.connect().wait(sb.EXITED, i.id)
    box.wait_for_disks([])


def test_nothing_is_left_of_instances_whose_keepers_died(box):
    box.up(scratch=32 * MB, disk=True)
    box.kill_all()
    swept = subprocess.run([sb.BIN / "skerry-sandboxd", "sweep", *box.options()], capture_output=True, text=True)
    assert swept.returncode == 0, swept.stderr
    box.wait_for_disks([])
    assert list((box.state / "scratch").iterdir()) == []
    for role in ("reaper", "filler", "starter"):
        box.start(role)
    box.reconnect()


def test_the_disk_of_the_host_keeps_what_is_to_stay_free():
    b = Box.__new__(Box)
    b.more = ["--free-disk-mb", str(1 << 20)]
    b.__init__()
    try:
        failed = b.connect().wait(sb.START_FAILED, b.boot(scratch=16 * MB, disk=True))
        assert failed["phase"] == "scratch" and re.search(r"room for 0 MB besides the 1048576 MB", failed["message"]), failed
    finally:
        b.close()
