#!/usr/bin/env python3
"""The second verifier of a site's journal: written from the description of the format alone, with nothing but Python's
standard library, so that nobody must take unship's own word for its journal.

    python3 verify_journal.py SITE/.unship [--checkpoint FILE] [--key FILE]
    python3 verify_journal.py --batch       (one folder a line on standard input, one answer a line)

--checkpoint: compare also with a checkpoint that was kept elsewhere. --key: take the public key from there, not from
.unship/checkpoint.pub; whoever could write all of .unship/ could have put a key and a checkpoint of their own in it.

Exit status: 0 intact · 7 not intact, with the reason on standard error · 2 usage. Nothing is written. What the records
mean, and whether they can follow one another, is `unship journal verify`'s to say; this looks at the bytes.

The formats: crates/store/src/journal/mod.rs (lines), journal/tail.rs (what an interrupted append leaves behind),
checkpoint.rs and note.rs (the signed head), all below crates/store/src.
"""

import argparse
import base64
import functools
import hashlib
import json
import os
import re
import sys

LINE_BYTES_MAX = 64 + 20 + 20 + 3 + (16 << 20) + 1
REST_BYTES_MAX = (64 << 20) + (64 << 10)
NOTE_BYTES_MAX = 16 << 10
SECTOR_BYTES = 512
HEAD = re.compile(rb"([0-9a-f]{64}) ([1-9][0-9]*) ([1-9][0-9]*) ")


class NotIntact(Exception):
    """The reason, in words."""


# --- Ed25519 (RFC 8032), verification only, and strict. A point is (X, Y, Z, T): x = X/Z, y = Y/Z, x·y = T/Z.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
NEUTRAL = (0, 1, 1, 0)


def decode_point(data):
    """The point, or None where this is not the one encoding of one."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def add(a, b):
    minus, plus = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    c, d = 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    e, f, g, h = plus - minus, d - c, d + c, plus + minus
    return e * f % P, g * h % P, f * g % P, e * h % P


def equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def multiply(factor, point):
    result = NEUTRAL
    while factor:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


@functools.lru_cache(maxsize=None)
def signature_is_good(key, signature, text):
    base = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    a, r, s = decode_point(key), decode_point(signature[:32]), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= L:
        return False
    if equal(multiply(8, a), NEUTRAL) or equal(multiply(8, r), NEUTRAL):
        return False  # of small order: such a key or commitment fits more than one text
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % L
    return equal(multiply(s, base), add(r, multiply(k, a)))


# --- The signed head.


def from_base64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None


def read_small(path, what):
    try:
        with open(path, "rb") as file:
            return file.read(NOTE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise NotIntact(f"find {path}: there is no {what}") from None


def open_key(path):
    """The key's name, its id and its 32 bytes."""
    line = read_small(path, "public key").decode("utf-8", "replace")
    parts = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)\n", line)
    data = parts and from_base64(parts[3])
    if not data or len(data) != 33 or data[0] != 1:
        raise NotIntact(f"trust {path}: it is not a public key for checkpoints")
    key_id = hashlib.sha256(parts[1].encode() + b"\n" + data).digest()[:4]
    if key_id.hex() != parts[2]:
        raise NotIntact(f"trust {path}: it is not the public key that its id names")
    return parts[1], key_id, data[1:]


def open_checkpoint(path, key):
    """How many records it was signed at, and the hash of the last of them."""

    def demand(holds, why):
        if not holds:
            raise NotIntact(f"trust {path}: {why}")

    name, key_id, key_bytes = key
    note = read_small(path, "checkpoint")
    demand(len(note) <= NOTE_BYTES_MAX, "it is longer than a checkpoint can be")
    try:
        note = note.decode("utf-8")
    except UnicodeDecodeError:
        demand(False, "it is not text in UTF-8")
    demand(not re.search(r"[\0-\x09\x0b-\x1f]", note), "it holds control characters")
    text, blank, signatures = note.rpartition("\n\n")
    demand(blank, "no blank line stands between its text and its signatures")
    text += "\n"
    demand(signatures.endswith("\n"), "its last line is cut off")
    ours = []
    for line in signatures[:-1].split("\n"):
        parts = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
        data = parts and from_base64(parts[2])
        demand(data and len(data) > 4, "a line below its text is no signature")
        if parts[1] == name and data[:4] == key_id:
            ours.append(data[4:])
    demand(ours, "it has no signature by this site's key")
    demand(len(ours) == 1, "it has two signatures by one key")
    demand(signature_is_good(key_bytes, ours[0], text.encode()), "its signature does not fit its text")
    lines = text[:-1].split("\n")
    demand(len(lines) == 3, "its text has not three lines")
    demand(lines[0] == name, "it is the checkpoint of another site")
    demand(re.fullmatch(r"0|[1-9][0-9]{0,19}", lines[1], re.ASCII), "its second line is not a number of records")
    head = from_base64(lines[2])
    demand(head and len(head) == 32, "its third line is not the hash of a record")
    return int(lines[1]), head


# --- The journal.


class Journal:
    """Reads a journal's bytes from the first to the last; where it stands is in `next`, `floor`, `head` and `end`."""

    def __init__(self, data):
        self.data, self.next, self.floor = data, 1, 1
        newline = data.find(b"\n", 0, 129)
        header = re.fullmatch(rb"unship-journal ([1-9][0-9]*)( ([0-9a-f]{32}))?.*", data[: max(newline, 0)], re.DOTALL)
        if not header or b"\0" in data[:newline]:
            self.fail("it is not the first line of a journal", line=1)
        if int(header[1]) > 1:
            self.fail(f"it has format version {int(header[1])}, and this verifier knows version 1", line=1)
        if not header[3] or len(header[0]) != len(b"unship-journal 1 ") + 32:
            self.fail("it is not the first line of a journal", line=1)
        self.site, self.end = header[3].decode(), newline + 1
        self.head = hashlib.sha256(data[: self.end]).digest()

    def fail(self, why, line=None):
        raise NotIntact(f"line {line or self.next + 1}: {why}")

    def records(self):
        """Gives each record's number and hash, in order."""
        while True:
            newline = self.data.find(b"\n", self.end, self.end + LINE_BYTES_MAX)
            line = self.data[self.end : newline]
            if newline < 0 or b"\0" in line:
                return
            self.check(line)
            self.end = newline + 1
            yield self.next - 1, self.head

    def check(self, line):
        found = parse_head(line)
        if not found:
            self.fail("it is not a record")
        digest, seq, floor, text = found
        if seq < self.next:
            self.fail(f"record {seq} is there twice")
        if seq > self.next:
            rest = self.data[self.end :].split(b"\0", 1)[0].split(b"\n")[:-1]
            if any(later and later[1] == self.next for later in map(parse_head, rest)):
                self.fail(f"out of order: record {seq} stands where {self.next} belongs, which comes later")
            self.fail(f"record {self.next} is missing: a later record proves that it was there")
        if floor not in (self.floor, seq) or hashlib.sha256(self.head + line[65:]).digest() != digest:
            self.fail("the record was edited: its hash does not continue the chain")
        if any(byte < 0x20 for byte in text) or not is_json(text):
            self.fail("its text is not JSON")
        self.head, self.floor, self.next = digest, floor, seq + 1

    def judge_rest(self):
        """Tells the rest of an interrupted append from damage; gives a remark, or nothing where only zeros follow."""
        rest = self.data[self.end :].rstrip(b"\0")
        if len(rest) > REST_BYTES_MAX:
            self.garbage()
        if not rest:
            return ""
        marked = rest[:1] == b"!"  # it was being cut when the process died: read as one more zero
        if marked:
            rest = b"\0" + rest[1:]
        if b"\0" in rest:
            self.check_holes(rest)
        else:
            self.check_begins(rest)
            if self.continues(rest):
                return "the last record is whole but for its newline"
            if self.continues(rest[:-1]):
                self.fail("the record was edited: its newline became another byte")
        return "the rest of an interrupted append stands at the end"

    def garbage(self):
        self.fail("the bytes from here on are no record and not the rest of an interrupted append")

    def continues(self, line):
        found = parse_head(line)
        return found and found[3] and hashlib.sha256(self.head + line[65:]).digest() == found[0]

    def check_begins(self, piece):
        """A piece that stands where the next record belongs must be able to begin it."""
        digits, numbers = piece[:64], piece[64:]
        starts = (b" %d %d " % (self.next, floor) for floor in (self.floor, self.next))
        fits = any(numbers[: len(start)] == start[: len(numbers)] for start in starts)
        if not re.fullmatch(rb"[0-9a-f]*", digits) or not fits or any(byte < 0x20 for byte in numbers):
            self.garbage()

    def check_holes(self, rest):
        """A loss of power leaves whole sectors: holes begin where the good records end or at a sector, and end at one."""
        newest = self.next
        for piece in re.finditer(rb"([^\0]*)(\0*)", rest):
            if piece.start() == 0:
                self.check_begins(piece[1])
            elif piece[1]:
                newest = self.check_piece(piece[1], newest)
            if not piece[2]:
                continue
            begins, ends = self.end + piece.start(2), self.end + piece.end(2)
            if piece.start(2) > 0 and begins % SECTOR_BYTES or piece.end() < len(rest) and ends % SECTOR_BYTES:
                self.garbage()

    def check_piece(self, piece, newest):
        """Lines after a hole; the first may lack its beginning, the last its end. A higher floor proves a loss."""
        lines = piece.split(b"\n")
        lost = f"record {self.next} is missing: a later record proves that it was there"
        first = parse_head(lines[0])
        if first and self.next < first[2] <= first[1]:
            self.fail(lost)
        for index, line in enumerate(lines[1:], 2):
            found = parse_head(line)
            if not found:
                if index < len(lines):
                    self.garbage()
                continue
            _, seq, floor, _ = found
            if floor > self.next:
                self.fail(lost)
            if seq <= newest:
                self.fail(f"record {seq} is there twice")
            if floor not in (self.floor, self.next):
                self.garbage()
            newest = seq
        return newest


def parse_head(line):
    """Hash, number, floor and text of a record's line, or None."""
    found = HEAD.match(line)
    if not found or len(found[2]) > 20 or len(found[3]) > 20:
        return None
    seq, floor = int(found[2]), int(found[3])
    return (bytes.fromhex(found[1].decode()), seq, floor, line[found.end() :]) if max(seq, floor) < 2**64 else None


def is_json(text):
    def refuse(word):
        raise ValueError(word)

    try:
        json.loads(text.decode("utf-8"), parse_constant=refuse)
        return True
    except (ValueError, RecursionError):
        return False


def verify(folder, kept=None, key_path=None):
    """What there is to say of an intact journal, as three values: records, head, remarks. Raises NotIntact."""
    with open(os.path.join(folder, "journal"), "rb") as file:
        journal = Journal(file.read())
    key = open_key(key_path or os.path.join(folder, "checkpoint.pub"))
    site = key[0].removeprefix("unship-journal/")
    if site != journal.site:
        raise NotIntact(f"it is the journal of site {journal.site}, not of this site, {site}")
    paths = [os.path.join(folder, "checkpoint")] + ([kept] if kept else [])
    signed = [(path, *open_checkpoint(path, key)) for path in paths]

    def compare(seq, head):
        for path, at, signed_head in signed:
            if seq == at and head != signed_head:
                raise NotIntact(f"forked or rewritten: record {seq} is not the one at which {path} was signed")

    compare(0, journal.head)
    for seq, head in journal.records():
        compare(seq, head)
    remark = journal.judge_rest()
    records = journal.next - 1
    for path, at, _ in signed:
        if records < at:
            raise NotIntact(f"cut: the checkpoint {path} was signed at {at} records, the journal has {records}")
    remarks = [remark] if remark else []
    if records > signed[-1][1]:
        remarks.append(f"{records - signed[-1][1]} record(s) are newer than the checkpoint")
    return records, journal.head.hex(), remarks


def main():
    parser = argparse.ArgumentParser(description="Verifies the journal of a site, independently of unship.")
    parser.add_argument("folder", nargs="?", help="SITE/.unship")
    parser.add_argument("--checkpoint", metavar="FILE", help="compare also with one that was kept elsewhere")
    parser.add_argument("--key", metavar="FILE", help="the public key, if not .unship/checkpoint.pub")
    parser.add_argument("--batch", action="store_true", help="folders on standard input, one answer a line")
    options = parser.parse_args()
    if options.batch == bool(options.folder):
        parser.error("give either a folder or --batch")
    folders = (line.rstrip("\n") for line in sys.stdin) if options.batch else [options.folder]
    status = 0
    for folder in folders:
        try:
            records, head, remarks = verify(folder, options.checkpoint, options.key)
            print("; ".join([f"intact: {records} records, head {head}"] + remarks), flush=True)
        except NotIntact as reason:
            status = 7
            print(f"not intact: {reason}", file=sys.stdout if options.batch else sys.stderr, flush=True)
        except OSError as error:
            parser.error(f"cannot read: {error}")
    return status


if __name__ == "__main__":
    sys.exit(main())
