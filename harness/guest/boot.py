# SPDX-License-Identifier: GPL-2.0
"""Boot a kernel with an initramfs of harness/do pack under QEMU, and wait for its end.

In DIR, console.log has the output of the first serial port and verdict.log that of the second. nonce has the word that
marks a genuine verdict, and qemu.log QEMU's own messages. The program qemu.sh boots the same guest again.

Environment: QEMU_CPU (max), QEMU_ARGS, APPEND, MEM (1024M), SMP (2), ACCEL (tcg; with kvm, the guest is emulated
by tcg if it does not start on KVM).

Exit status: 0 the guest finished by itself; 124 it hung and was killed; 125 it stopped without finishing (a
panic); 2 QEMU failed, or bad usage.
"""

import argparse
import contextlib
import os
import pathlib
import re
import secrets
import shlex
import signal
import subprocess
import sys
import termios
import time

from harness import core

HUNG, STOPPED = 124, 125
# The time limit of each mode, in seconds; 0 is no limit.
TIMEOUTS = {"check": 1800, "run": 600, "shell": 0}
# A guest on KVM must write to its verdict within so many seconds.
KVM_PATIENCE = 15


def setting(name, default):
    """An environment variable, or the default if it is not set or empty."""
    return os.environ.get(name) or default


def check_environment():
    """Raise an Error if ACCEL, SMP or MEM has an impossible value."""
    for name, default, pattern, expected in (
            ("ACCEL", "tcg", "tcg|kvm", "neither tcg nor kvm"),
            ("SMP", "2", "[1-9][0-9]*", "not a number of CPUs"),
            ("MEM", "1024M", "[1-9][0-9]*[MG]?", "not a memory size such as 1024M or 2G")):
        if not re.fullmatch(pattern, setting(name, default)):
            raise core.Error(f"{name}={os.environ[name]} is {expected}")


class Guest:
    """One boot. OUT is the directory for its files."""

    def __init__(self, kernel, initrd, mode, out, append="", timeout=None, count=False):
        """KERNEL and INITRD are paths, MODE is a key of TIMEOUTS, and APPEND has more words for the kernel's command line.

        TIMEOUT is in seconds; 0 is no limit, None is that of the mode. COUNT: if the guest is emulated, its time stamp
        counter counts instructions, and it has one CPU by default. Raises an Error if a file, QEMU or a variable is wrong.
        """
        check_environment()
        for path, name in ((kernel, "kernel image"), (initrd, "initramfs")):
            if not os.path.isfile(path):
                raise core.Error(f"there is no {name} {path}")
        core.need_command("qemu-system-x86_64")
        self.kernel, self.initrd, self.mode, self.count = kernel, initrd, mode, count
        self.out = pathlib.Path(out)
        self.timeout = TIMEOUTS[mode] if timeout is None else timeout
        self.console, self.verdict = self.out / "console.log", self.out / "verdict.log"
        self.nonce = secrets.token_hex(8)
        self.words = self.command_line(append)
        self.qemu = None

    def command_line(self, append):
        """The kernel's command line. An oops or a warning ends the guest, so its verdict has no end."""
        words = ["console=ttyS0",
                 # On a busy host, the kernel's check of the emulated timer may fail at boot.
                 "no_timer_check",
                 "panic_on_warn=1", "oops=panic", "panic=-1", f"guest.mode={self.mode}", f"guest.nonce={self.nonce}"]
        if self.mode != "check":
            words += ["quiet", "loglevel=4"]
        if self.mode == "run" and sys.stdin.isatty():
            words.append("guest.stdin=tty")
        return " ".join([*words, *append.split(), *os.environ.get("APPEND", "").split()])

    def serial(self):
        """QEMU's options for the first serial port."""
        if self.mode == "check":
            return ["-serial", f"file:{self.console}"]
        # With signal=on, Ctrl-C ends QEMU. In a shell, Ctrl-C goes to the guest.
        more = "signal=on" if self.mode == "run" else "mux=on,signal=off"
        options = ["-chardev", f"stdio,id=console,{more},logfile={self.console}", "-serial", "chardev:console"]
        return options + (["-mon", "chardev=console"] if self.mode == "shell" else [])

    def command(self, accel):
        """QEMU's command line for the accelerator tcg or kvm."""
        emulated_count = accel == "tcg" and self.count
        cpus = setting("SMP", "1" if emulated_count else "2")
        # One socket for each CPU: kernels without ACPI read tables that list only the first core of a socket.
        return ["qemu-system-x86_64", "-accel", accel, "-cpu", setting("QEMU_CPU", "max"), "-m", setting("MEM", "1024M"),
                "-smp", f"{cpus},sockets={cpus},cores=1,threads=1", "-nodefaults", "-no-user-config", "-display", "none",
                "-vga", "none", "-no-reboot", "-kernel", str(self.kernel), "-initrd", str(self.initrd), "-append", self.words,
                *self.serial(), "-serial", f"file:{self.verdict}",
                *(["-icount", "shift=0,sleep=off"] if emulated_count else []), *os.environ.get("QEMU_ARGS", "").split()]

    def start(self, accel):
        """Start QEMU, and write the script with its command."""
        for path in (self.console, self.verdict):
            path.write_bytes(b"")
        command, script = self.command(accel), self.out / "qemu.sh"
        script.write_text(f"#!/bin/sh\ncd {shlex.quote(os.getcwd())} && exec {shlex.join(command)}\n", encoding="utf-8")
        script.chmod(0o755)
        with open(self.out / "qemu.log", "wb") as log:
            self.qemu = subprocess.Popen(command, stderr=log)

    def stop(self):
        """Kill QEMU if it runs."""
        if self.qemu and self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()

    def wait(self, seconds, until_heard=False):
        """Wait until QEMU ends or, with UNTIL_HEARD, the verdict has content. False after the time limit; 0 is none."""
        end = time.monotonic() + seconds
        while self.qemu.poll() is None:
            if until_heard and self.verdict.stat().st_size:
                return True
            if seconds and time.monotonic() >= end:
                return False
            time.sleep(0.1)
        return True

    def messages(self):
        """QEMU's own messages."""
        return (self.out / "qemu.log").read_text(encoding="utf-8", errors="replace").strip()

    def try_kvm(self):
        """Start on KVM. Returns the reason if that fails, otherwise an empty text."""
        if not os.access("/dev/kvm", os.W_OK):
            return "/dev/kvm cannot be used here"
        self.start("kvm")
        if not self.wait(KVM_PATIENCE, until_heard=True):
            self.stop()
            return f"the guest did not start within {KVM_PATIENCE} seconds"
        if not self.verdict.stat().st_size:
            self.stop()
            return f"QEMU gave up ({self.messages().partition(chr(10))[0]})"
        return ""

    def show_console(self):
        lines = self.console.read_text(encoding="utf-8", errors="replace").replace("\r", "").splitlines()
        core.say(f"---- the end of {self.console}", *lines[-20:], "----")

    def boot(self):
        """Boot it and wait for its end; returns the exit status."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "nonce").write_text(self.nonce + "\n", encoding="utf-8")
        if self.mode == "shell":
            core.say("Ctrl-A X kills the guest, Ctrl-A H lists the other keys.")
        with kept_terminal(), ended_by_signals():
            try:
                return self.attend()
            finally:
                self.stop()

    def attend(self):
        """Start QEMU and wait for its end; returns the exit status."""
        kvm = setting("ACCEL", "tcg") == "kvm"
        reason = self.try_kvm() if kvm else ""
        if reason:
            core.say(f"ACCEL=kvm: {reason}; emulating instead (slower).")
        if reason or not kvm:
            self.start("tcg")
        if not self.wait(self.timeout):
            self.stop()
            self.show_console()
            core.say(f"The guest hung: it was still running after {self.timeout} seconds, and was killed.")
            return HUNG
        if self.qemu.returncode:
            core.say(self.messages())
            raise core.Error(f"QEMU failed (status {self.qemu.returncode}); its message stands above")
        if not re.search(f"^guest: end {self.nonce} status ", self.verdict.read_text(encoding="utf-8", errors="replace"), re.M):
            self.show_console()
            core.say("The guest stopped before it finished: its kernel panicked, or its init ended.")
            return STOPPED
        return 0


@contextlib.contextmanager
def kept_terminal():
    """Restore the terminal's settings, because a killed QEMU leaves it raw."""
    state = termios.tcgetattr(sys.stdin) if sys.stdin and sys.stdin.isatty() else None
    try:
        yield
    finally:
        if state:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, state)


@contextlib.contextmanager
def ended_by_signals():
    """Turn the signals that end this process into SystemExit, so that QEMU is stopped first."""
    def end(number, _):
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def seconds(text):
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return int(text)


def main():
    if sys.argv[1:] == ["--check"]:
        check_environment()
        return 0
    parser = argparse.ArgumentParser(description="Boot a kernel under QEMU and wait for its end.", allow_abbrev=False,
                                     epilog="--check as the only option checks the environment variables, and boots nothing.")
    parser.add_argument("--kernel", required=True, metavar="IMAGE")
    parser.add_argument("--initrd", required=True, metavar="FILE")
    parser.add_argument("--mode", required=True, choices=TIMEOUTS)
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="the time limit; 0 is none")
    parser.add_argument("--append", default="", metavar="WORDS", help="more words for the kernel's command line")
    parser.add_argument("--count", action="store_true", help="let the time stamp counter of an emulated guest count instructions")
    options = parser.parse_args()
    return Guest(**vars(options)).boot()
