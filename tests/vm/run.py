"""make test-vm: boots Debian 12's own kernel in a virtual machine with this tree, runs the suites of SUITES there, and counts as `make test` does.

The machine's root is this machine's, shared read-only; Debian 12's kernel and the initramfs are made once and kept in build/vm. Called by
scripts/test-vm."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import run_tests  # noqa: E402

WORK = ROOT / "build/vm"
META = "linux-image-amd64"
SERIES = "6.1."
LIMIT_S = 1200
END_S = 60  # from the last report to the machine's end
MEMORY_MB, PROCESSORS = 4096, 2
DISK_BYTES = 16 << 30  # sparse
# Emulated, everywhere: /dev/kvm may be there and hang (a machine that is virtual itself). VM_ACCEL=kvm takes it.
ACCELERATION = os.environ.get("VM_ACCEL", "tcg")
SLOW = {"tcg": 20, "kvm": 1}
SUITES = os.environ.get("VM_SUITES", ",".join((  # each the paths and words of one pytest
    "tests/sandbox", "tests/e2e/test_limits.py",
    " ".join(f"tests/security/test_{name}.py" for name in ("bombs", "shared_limits", "network_attacks", "container", "escapes", "neighbours", "system_calls"))))).split(",")
# What the kernel would ask a modprobe for: there is none in the machine.
MODULES = ["crc32c_generic", "crc32c_intel", "virtio_pci", "virtio_blk", "virtio_rng", "9p", "9pnet_virtio", "ext4", "overlay", "loop", "fuse", "veth", "dummy", "bridge", "nf_tables", "nft_ct", "nft_nat", "nft_masq",
           "nft_chain_nat", "nft_connlimit", "nft_fib_inet", "nft_reject_inet", "nft_limit", "nft_log", "nf_conntrack_netlink", "nft_numgen", "nft_quota", "sch_tbf",
           "sch_ingress", "sch_htb", "sch_fq_codel", "sch_fq", "cls_u32", "cls_matchall", "act_police", "ifb", "inet_diag", "unix_diag", "tcp_diag", "ip_tables", "zram"]


def sh(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, **options)


# ---- the kernel

def kernel_package():
    """The package that Debian's meta package stands for today, by name and version."""
    for refreshed in (False, True):
        shown = subprocess.run(["apt-cache", "show", "--no-all-versions", META], capture_output=True, text=True).stdout
        found = re.search(rf"^Depends: (linux-image-{re.escape(SERIES)}\S+) \(= ([^)]+)\)", shown, re.M)
        if found:
            return found.group(1), found.group(2)
        if not refreshed:
            sh("apt-get", "update", "-qq")
    sys.exit(f"error: no {META} of Linux {SERIES}x among this machine's package sources: Debian 12's (bookworm) are needed")


def kernel():
    """The folder with the unpacked kernel, and its release."""
    name, version = kernel_package()
    folder = WORK / f"{name}_{version.replace(':', '_')}"
    if not folder.is_dir():
        for old in WORK.glob("linux-image-*"):
            shutil.rmtree(old)
        with tempfile.TemporaryDirectory(dir=WORK) as work:
            sh("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", f"{name}={version}", cwd=work)
            sh("dpkg-deb", "-x", *pathlib.Path(work).glob("*.deb"), f"{work}/kernel")
            os.rename(f"{work}/kernel", folder)
    return folder, name.removeprefix("linux-image-")


def modules_in_order(folder):
    """Files of the wanted modules and of those that they need, each after what it needs."""
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    ordered = {}

    def add(name):
        if name in ordered:
            return
        needed = re.search(rb"(?:^|\0)depends=([^\0]*)\0", files[name].read_bytes())
        for other in filter(None, needed.group(1).decode().replace("-", "_").split(",")):
            add(other)
        ordered[name] = files[name]
    for name in MODULES:
        if name in files:  # else it is part of this kernel, or not of it: the tests that need it say so
            add(name)
    return list(ordered.values())


# ---- the initramfs

def newc(name, mode, content=b""):
    """One entry of a cpio archive as the kernel reads it."""
    raw = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % n for n in numbers) + raw
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def initramfs(folder, release):
    source = ROOT / "tests/vm/init.c"
    key = hashlib.sha256(folder.name.encode() + source.read_bytes() + pathlib.Path(__file__).read_bytes()).hexdigest()[:16]
    path = WORK / f"initramfs-{key}"
    if not path.exists():
        for old in WORK.glob("initramfs-*"):
            old.unlink()
        sh("clang-19", "-Os", "-static", "-Wall", "-Wextra", "-Werror", "-o", WORK / "init", source)
        parts = [newc(name, 0o40755) for name in ("dev", "root", "modules")]
        parts.append(newc("init", 0o100755, (WORK / "init").read_bytes()))
        for i, module in enumerate(modules_in_order(folder / "lib/modules" / release)):
            parts.append(newc(f"modules/{i:03}-{module.name}", 0o100644, module.read_bytes()))
        parts.append(newc("TRAILER!!!", 0))
        path.with_suffix(".part").write_bytes(b"".join(parts))
        os.rename(path.with_suffix(".part"), path)
    return path


# ---- the machine

def boot(folder, release, image, results):
    (results / "facts").write_text(f"suites={','.join(SUITES)}\nlimit_s={LIMIT_S - 2 * END_S}\nslow={SLOW[ACCELERATION]}\n"
                                   f"images={os.environ.get('SKERRY_IMAGES', '/var/lib/skerry/images')}\n")
    disk = results.parent / "disk"
    with open(disk, "wb") as f:
        f.truncate(DISK_BYTES)
    sh("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", disk)
    share = "security_model=none,multidevs=remap"
    print(f"booting Linux {release} ({ACCELERATION})", flush=True)
    return run_tests.run([
        "qemu-system-x86_64", "-machine", "q35", "-accel", ACCELERATION, "-cpu", "max", "-smp", PROCESSORS, "-m", MEMORY_MB, "-nodefaults", "-no-reboot",
        "-display", "none", "-serial", "stdio", "-kernel", folder / f"boot/vmlinuz-{release}", "-initrd", image,
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on",
        "-virtfs", f"local,path=/,mount_tag=host,readonly=on,{share}", "-virtfs", f"local,path={ROOT},mount_tag=tree,readonly=on,{share}",
        "-virtfs", f"local,path={results},mount_tag=results,{share}", "-drive", f"file={disk},if=virtio,format=raw,cache=unsafe", "-device", "virtio-rng-pci"], LIMIT_S)


def main():
    began = time.monotonic()
    WORK.mkdir(parents=True, exist_ok=True)
    folder, release = kernel()
    image = initramfs(folder, release)
    totals = run_tests.Totals()
    with tempfile.TemporaryDirectory(dir=WORK, prefix="run-") as work:
        results = pathlib.Path(work) / "results"
        results.mkdir()
        status = boot(folder, release, image, results)
        for report in sorted(results.glob("*.xml")):
            totals.read_junit(report, "vm")
        if status != 0 or not (results / "ended").exists():
            totals.add("the machine", time.monotonic() - began, "failed", f"it did not come to its end (status {status}; 124 is {LIMIT_S} s over)")
    totals.tell(time.monotonic() - began)


main()
