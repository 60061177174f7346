"""Attacks on scratch disks, from inside of real containers: filling them, filling the host by them, and reading what others wrote."""
import contextlib
import os
import pathlib

import hostile
import pytest
import sandbox as sb

MB = 1 << 20


class Box(hostile.Box):
    def options(self):
        return [*super().options(), "--max-scratch-total-mb", "512"]

    def holds(self):
        """Bytes of the host's disk that the disks of this box take, by their loop devices."""
        total = 0
        for fd in pathlib.Path(f"/proc/{self.processes['filler'].pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if "/scratch/#" in os.readlink(fd):
                    total += fd.stat().st_blocks * 512
        return total


@pytest.fixture(scope="module")
def box():
    b = Box()
    yield b
    b.close()


@pytest.fixture
def bystander(box):
    i = box.attacker(scratch=32 * MB, disk=True)
    yield i
    i.kill()


def assert_unharmed(bystander):
    assert bystander.tries("disk", "/tmp/own")["written"], "another's disk is full, or broken"


@pytest.mark.parametrize("attack", [("disk", "/tmp/bomb"), ("files", "/home/fn")])
def test_disk_bomb(box, bystander, attack):
    bomb = box.attacker(memory=64 * MB, scratch=128 * MB, disk=True)
    got = bomb.tries(*attack)
    assert got["end"] in ("ENOSPC", "EFBIG") and 100 * MB <= int(got["written"]) <= 128 * MB, got
    assert box.holds() <= (2 * 128 + 2 * 32) * MB
    assert_unharmed(bystander)
    bomb.kill()


def test_inode_bomb(box, bystander):
    bomb = box.attacker(memory=64 * MB, scratch=64 * MB, disk=True)
    got = bomb.tries("inodes", "/tmp", timeout=60)
    assert got["end"] == "ENOSPC" and 3000 < int(got["made"]) <= 4096, got
    assert_unharmed(bystander)
    assert bomb.tries("disk", "/tmp/after")["written"], "room again once they are removed"
    bomb.kill()


def test_attribute_bomb(box, bystander):
    bomb = box.attacker(memory=64 * MB, scratch=16 * MB, disk=True)
    got = bomb.tries("attributes")
    assert got["end"] in ("ENOSPC", "E2BIG", "EOPNOTSUPP") and int(got["made"]) * 60000 <= 16 * MB, got
    assert_unharmed(bystander)
    bomb.kill()


def test_what_is_removed_is_the_hosts_again(box):
    bomb = box.attacker(memory=64 * MB, scratch=128 * MB, disk=True)
    for _ in range(3):
        assert int(bomb.tries("disk", "/tmp/bomb")["written"]) > 100 * MB
    box.wait_until(lambda: box.holds() < 64 * MB, f"{box.holds() >> 20} MB are still taken")
    bomb.kill()


def test_together_they_take_no_more_than_all_may(box):
    bombs = [box.attacker(scratch=128 * MB, disk=True) for _ in range(4)]
    failed = box.connect().wait(sb.START_FAILED, box.boot(argv=["/app/attack"], scratch=16 * MB, disk=True))
    assert failed["phase"] == "scratch", failed
    for bomb in bombs:
        assert bomb.tries("disk", "/tmp/bomb")["end"] in ("ENOSPC", "EFBIG")
    for bomb in bombs:
        bomb.kill()


def test_nothing_of_an_instance_is_found_by_the_next(box):
    """The first fills its disk with a mark and goes; the next looks at every block that was never written, and finds zeroes."""
    first = box.attacker(scratch=64 * MB, disk=True)
    assert first.tries("mark", "/tmp/secret")["end"] == "ENOSPC"
    first.kill()
    for _ in range(3):  # through what was made ahead, too
        second = box.attacker(scratch=64 * MB, disk=True)
        got = second.tries("stale", timeout=60)
        assert got.pop("reserve") == "ok" and int(got.pop("size")) > 50 * MB
        assert got == {"reserved": "0", "sparse": "0"}
        second.kill()


def test_the_devices_are_out_of_reach(box):
    attacker = box.attacker(scratch=32 * MB, disk=True)
    assert attacker.tries("loop-devices") == {"opened": "0", "made": "0"}
    attacker.kill()
    assert int(box.control("loop-devices")["opened"]) > 0, "the same attack on the host"
