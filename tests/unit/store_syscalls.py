#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each system call that the store makes fails once, in turn: store_syscalls.py [--full] [WORD...]

tests/unit/store-script does a fixed series of things to a store under strace, which makes the Nth call of a kind
fail. Afterwards nothing may have crashed or hung, every commit must have come through within a few tries, and every
row that was durable must be acknowledged, there, or told as lost, with the number right. --full takes every N and
also lets all calls fail from the Nth on; without it a spread of them is taken, as time allows. Words choose calls."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

SCRIPT = os.path.join(os.environ.get("TBAGENT_BUILDDIR", "."), "tests/unit/store-script")
SHORT = 12  # s
FAULTS = [
    ("pwrite64", ["ENOSPC", "EIO"]),
    ("write", ["ENOSPC", "EIO"]),
    ("fdatasync", ["EIO", "ENOSPC"]),
    ("fsync", ["EIO"]),
    ("openat", ["EACCES", "EMFILE", "EIO", "EROFS"]),
    ("unlink,?unlinkat", ["EROFS", "EIO"]),
    ("rename,?renameat,?renameat2", ["EIO"]),
    ("ftruncate", ["EIO"]),
    ("statfs,?fstatfs", ["EIO"]),
    ("pread64", ["EIO"]),
    ("read", ["EIO"]),
    ("mkdir,?mkdirat", ["ENOSPC", "EROFS"]),
    ("getdents64", ["EIO"]),
    ("newfstatat,?fstat,?stat,?lstat,?statx", ["EIO"]),
    ("access,?faccessat,?faccessat2", ["EIO"]),
]
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")


CUT = "ftruncate"  # ... and nothing that is left can be cut off
BOTH = [("pwrite64", "EIO"), ("fdatasync", "EIO"), ("fdatasync", "ENOSPC")]


def strace(options, folder, output):
    command = ["strace", "-f", "-qq", "-o", output] + options + [SCRIPT, "run", folder]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=60, check=False)


def traceable():
    if not shutil.which("strace"):
        return "no strace"
    with tempfile.NamedTemporaryFile() as out:
        r = subprocess.run(["strace", "-qq", "-o", out.name, "-e", "inject=getppid:error=EPERM", "true"], stderr=subprocess.PIPE,
                           text=True, check=False)
    return "strace cannot trace here: " + r.stderr.strip() if r.returncode else None


def count_calls():
    """For each kind the numbers of the first and last call between the two getppid()."""
    counts = {}
    with tempfile.TemporaryDirectory() as work:
        out = os.path.join(work, "trace")
        trace = "trace=getppid," + ",".join("?" + name for name, _ in FAULTS)
        r = strace(["-e", trace], os.path.join(work, "state"), out)
        if r.returncode:
            sys.exit("the script fails by itself: %s" % r.stderr)
        seen, inside = {}, False
        with open(out, encoding="ascii", errors="replace") as lines:
            for line in lines:
                m = re.match(r"(?:\d+ +)?(\w+)\(", line)
                if not m:
                    continue
                if m[1] == "getppid":
                    inside = not inside
                    continue
                kind = next(names for names, _ in FAULTS if m[1] in names.replace("?", "").split(","))
                seen[kind] = seen.get(kind, 0) + 1
                if inside:
                    first, _ = counts.get(kind, (seen[kind], 0))
                    counts[kind] = (first, seen[kind])
    return counts


class Judge:
    """Follows what the script says."""

    def __init__(self):
        self.acked = self.last = self.missing = 0
        self.durable, self.lost, self.faults, self.kept = set(), set(), [], 0

    def take(self, line):
        word, *rest = line.split()
        if word == "durable":
            self.durable.update(range(int(rest[0]), int(rest[1]) + 1))
        elif word == "kept":
            self.kept += 1
        elif word == "acked":
            self.acked = int(rest[0])
        elif word == "missing":
            self.missing += int(rest[0])
        elif word == "ledger":
            self.last = int(rest[1])
        elif word == "lost":
            first, last, points = (int(n) for n in rest)
            rows = {n for n in range(max(first, self.acked + 1), last + 1) if n in self.durable} - self.lost
            if len(rows) != points:
                self.faults.append("%s rows were there: %s" % (len(rows), line))
            self.lost |= rows

    def finish(self, final, single):
        read = [int(line.split()[1]) for line in final if line.startswith("read ")]
        if read != sorted(set(read)):
            self.faults.append("rows twice or out of order")
        for line in final:
            if line.startswith(("lost", "missing")):
                self.take(line)
        waiting = {n for n in self.durable if n > self.acked}
        gone = waiting - set(read) - self.lost
        if len(gone) > self.missing:
            self.faults.append("%d rows gone without a word: %s" % (len(gone) - self.missing, sorted(gone)[:5]))
        if single and set(read) - self.durable:  # where nothing can be cut off any more, what was kept may be there as well
            self.faults.append("rows that were not durable: %s" % sorted(set(read) - self.durable)[:5])
        if single and set(read) & self.lost:
            self.faults.append("told as lost, but there: %s" % sorted(set(read) & self.lost)[:5])
        if single and self.kept:
            self.faults.append("%d commits did not come through" % self.kept)
        return self.faults


def attempt(kind, error, when, both):
    judge = Judge()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as work:
        state = os.path.join(work, "state")
        names = ",".join("?" + n.lstrip("?") for n in kind.split(","))
        options = ["-e", "trace=" + names + "," + CUT, "-e", "inject=%s:error=%s:when=%s" % (names, error, when)]
        if both:
            options += ["-e", "inject=%s:error=EIO" % CUT]
        try:
            r = strace(options, state, os.path.join(work, "trace"))
        except subprocess.TimeoutExpired:
            return ["it hangs"]
        if r.returncode:
            return ["it ended with %d: %s" % (r.returncode, r.stderr.strip()[-2000:])]
        for line in r.stdout.splitlines():
            judge.take(line)
        r2 = subprocess.run([SCRIPT, "read", state, str(judge.acked), str(judge.last)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=ENVIRONMENT, timeout=60, check=False)
        if r2.returncode:
            return ["reading it later ended with %d: %s" % (r2.returncode, r2.stderr.strip()[-2000:])]
        faults = judge.finish(r2.stdout.splitlines(), "+" not in when)
        return faults + r.stdout.splitlines() if faults else []


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    why = traceable()
    if why:
        print("1..0 # SKIP " + why)
        return 0
    start, counts = time.monotonic(), count_calls()
    plan = [(kind, error, False) for kind, errors in FAULTS for error in errors] + [(kind, error, True) for kind, error in BOTH]
    plan = [p for p in plan if p[0] in counts and (not args.words or any(w in p[0].split(",")[0] for w in args.words))]
    print("1..%d" % len(plan), flush=True)
    bad = 0
    for i, (kind, error, both) in enumerate(plan):
        first, last = counts[kind]
        name = "%s fails with %s%s" % (kind.split(",")[0], error, ", and so does cutting off" if both else "")
        share = (SHORT - (time.monotonic() - start)) / (len(plan) - i) if not args.full else 0
        faults, runs, began = [], 0, time.monotonic()
        numbers = list(range(first, last + 1))
        if not args.full:  # as many as there is time for, begun at the ends
            numbers = sorted(numbers, key=lambda n: (n * 2654435761) % (1 << 32))
        for n in numbers:
            if not args.full and runs >= 1 and time.monotonic() - began > share:
                break
            for when in [str(n), "%d+" % n] if args.full else [str(n)]:
                found = attempt(kind, error, when, both)
                runs += 1
                if found:
                    faults.append((when, found))
        bad += bool(faults)
        print("%sok %d - %s: %d of %d calls" % ("not " if faults else "", i + 1, name, runs, (last - first + 1) * (2 if args.full else 1)))
        for when, found in faults[:5]:
            print("# call %s" % when)
            for line in [text for text in found if not text.startswith("read ")][:12]:
                print("#   " + line)
        sys.stdout.flush()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
