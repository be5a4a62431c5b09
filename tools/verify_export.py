"""Check an export of the ticketing log: python3 verify_export.py DATA MANIFEST [KEY_ID]

Needs only Python 3.8 or later. Exit code 0: the data is what was signed; 1: it is not; 2: a file cannot be
read. KEY_ID is the id of the first signing key, from a source that you trust. Without KEY_ID the key in the
manifest is accepted, and its id is printed.
"""

import base64
import csv
import hashlib
import json
import struct
import sys

P = 2**255 - 19  # Ed25519, RFC 8032 section 5.1
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def recover(y, sign):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or y >= P or (x == 0 and sign):
        raise ValueError("a point is not on the curve")
    return P - x if x & 1 != sign else x


def point(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = recover(y, sign)
    return x, y, 1, x * y % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, p):
    total = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = add(total, p)
        p, number = add(p, p), number >> 1
    return total


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (recover(BASE_Y, 0), BASE_Y, 1, recover(BASE_Y, 0) * BASE_Y % P)


def is_signed(public_key, message, signature):
    if len(public_key) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= ORDER:
        return False
    hashed = hashlib.sha512(signature[:32] + public_key + message).digest()
    left = times(s, BASE)
    right = add(point(signature[:32]), times(int.from_bytes(hashed, "little") % ORDER, point(public_key)))
    delta = (left[0] * right[2] - right[0] * left[2]), (left[1] * right[2] - right[1] * left[2])
    return delta[0] % P == 0 and delta[1] % P == 0


def require_signed(facts, keys, what):
    unsigned = {name: value for name, value in facts.items() if name != "signature"}
    message = b"ticketing statement\n" + json.dumps(unsigned, sort_keys=True, separators=(",", ":")).encode()
    key = keys.get(facts["signed_by"])
    if key is None or not is_signed(key, message, base64.b64decode(facts["signature"])):
        raise ValueError(what + " is not signed by a known key")


def read_keys(manifest, trusted):
    """Return the public keys by id. An earlier key signs each announcement; the first key signs its own."""
    keys = {}
    for line in manifest["keys"]:
        facts = json.loads(line)
        public_key = base64.b64decode(facts["public_key"])
        key_id = hashlib.sha256(public_key).hexdigest()[:16]
        if key_id != facts["key"] or facts["log"] != manifest["log"]:
            raise ValueError("an announced key does not match its id or the log")
        if not keys and trusted not in (None, key_id):
            raise ValueError("the first key is %s, not %s" % (key_id, trusted))
        require_signed(facts, keys or {key_id: public_key}, "the key " + key_id)
        keys[key_id] = public_key
    return keys


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf(position, aggregate_id, version, kind, event):
    text, kind = aggregate_id.encode(), kind.encode()
    head = struct.pack(">BqqI", 0, position, version, len(text))
    return sha256(head, text, struct.pack(">I", len(kind)), kind, event)


def root(leaves, known, low, high):
    """Return the Merkle root (RFC 6962, section 2.1) of the leaves. `known` are the roots of subtrees."""
    if (low, high) in known:
        return known[low, high]
    if high - low == 1:
        return leaves[low]
    middle = low + (1 << (high - low - 1).bit_length() - 1)
    return sha256(b"\1", root(leaves, known, low, middle), root(leaves, known, middle, high))


def read_ndjson(file):
    for line in file:
        head, _, event = line.partition(b',"event":')
        facts = json.loads(head + b"}")
        yield facts["position"], facts["aggregate_id"], facts["version"], facts["type"], event[:-2]


def read_csv(file):
    csv.field_size_limit(1 << 30)
    lines = csv.reader(line.decode() for line in file)
    next(lines, None)
    for position, aggregate_id, version, kind, event in lines:
        yield int(position), aggregate_id, int(version), kind, event.encode()


def check_blocks(manifest, rows):
    """Follow the chain from before the first block to the checkpoint; return its end and the event count."""
    chain, count, row = bytes.fromhex(manifest["chain_before"]), 0, next(rows, None)
    window, left_out = manifest.get("window"), manifest.get("left_out", {})
    for index, (number, first, last, events, expected) in enumerate(manifest["pages"]):
        leaves = [bytes.fromhex(one) for one in manifest["leaves_before"]] if index == 0 else []
        while row is not None and row[0] <= min(last, manifest["to"]):
            if row[0] < max(first, manifest["from"]) or (window and not is_within(window, row[4])):
                raise ValueError("position %d is outside of the range" % row[0])
            leaves.append(leaf(*row))
            count, before, row = count + 1, row[0], next(rows, None)
            if row is not None and row[0] <= before:
                raise ValueError("position %d follows %d" % (row[0], before))
        if first <= manifest["to"] <= last:
            leaves += [bytes.fromhex(one) for one in manifest["leaves_after"]]
        known = {(low, high): bytes.fromhex(one) for low, high, one in left_out.get(str(number), ())}
        taken = {place for low, high in known for place in range(low, high)}
        places = [place for place in range(events) if place not in taken]
        is_concerned = leaves or str(number) in left_out if window else first <= manifest["to"]
        placed = dict(zip(places, leaves))  # noqa: B905 - Python 3.8
        if is_concerned and (len(places) != len(leaves) or root(placed, known, 0, events).hex() != expected):
            raise ValueError(
                "the events between the positions %d and %d are not what was signed" % (first, last)
            )
        chain = sha256(struct.pack(">BqqqI", 2, number, first, last, events), chain, bytes.fromhex(expected))
    if row is not None:
        raise ValueError("position %d is after the signed range" % row[0])
    return chain, count


def is_within(window, event):
    at = json.loads(event)["occurred_at"].rstrip("Z")  # all UTC in one format
    return (window["since"] or "").rstrip("Z") <= at < (window["until"] or "~").rstrip("Z")


def main(data_path, manifest_path, trusted=None):
    with open(manifest_path, encoding="utf-8") as file:
        manifest = json.load(file)
    with open(data_path, "rb") as file:
        if manifest.get("kind") != "ticketing export 1":
            raise ValueError("the file is not a manifest of an export")
        keys = read_keys(manifest, trusted)
        require_signed(manifest, keys, "the manifest")
        checkpoint = json.loads(manifest["checkpoint"])
        require_signed(checkpoint, keys, "the checkpoint")
        read = read_csv if manifest["data"]["format"] == "csv" else read_ndjson
        chain, count = check_blocks(manifest, read(file))
        if chain.hex() != checkpoint["chain"] or checkpoint["log"] != manifest["log"]:
            raise ValueError("the chain does not lead to the checkpoint")
        file.seek(0)
        total = hashlib.sha256()
        for piece in iter(lambda: file.read(1 << 20), b""):
            total.update(piece)
        if total.hexdigest() != manifest["data"]["sha256"]:
            raise ValueError("the file differs from the exported bytes")
    values = count, manifest["from"], manifest["to"], checkpoint["at"], next(iter(keys))
    print("%d events, positions %d to %d: as signed on %s. First key: %s" % values)
    if manifest.get("window"):
        print("Only events that occurred from %(since)s until before %(until)s." % manifest["window"])


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        main(*sys.argv[1:])
    except OSError as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
    except Exception as problem:  # an altered file may contain anything
        sys.exit("NOT AS SIGNED: %s" % (problem or type(problem).__name__))
