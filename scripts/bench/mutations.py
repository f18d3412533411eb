"""Ways to spoil a file: in its header, its lengths, its text, its structure. Deterministic."""

import json
import struct

EXTREMES = [0, 1, 2**7, 2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62]
NUMBERS = ["nan", "inf", "-inf", "-1", "0", "1e308", "1e-320", "9" * 400, "", "n/a", "０", "1,5"]
NAMES = ["../../../../etc/passwd", "/etc/passwd", "..", "a\0b", "x" * 5000, "é\u202e🧠", "con"]
VALUES = [None, -1, 0, True, 1e308, 10**30, float("nan"), "", "x", "n/a", [], {}, [[]], {"a": []}]
HEADER = 1024


def binary(data, rng):
    """Spoil bytes; return (name of the way, bytes or None for a folder in the file's place)."""
    ways = [flip, flip, extreme, extreme, cut, cut, swap, noise, insert, repeat, whole]
    way = ways[rng.integers(len(ways))]
    return way.__name__, way(data, rng)


def flip(data, rng):
    """Flip a few bits of the header, sometimes of all."""
    out, among = bytearray(data), _header(data, rng)
    for _ in range(int(rng.integers(1, 9))):
        if out:
            out[int(rng.integers(among))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def extreme(data, rng):
    """Write an extreme number over an aligned field."""
    out = bytearray(data)
    form, width = [("h", 2), ("i", 4), ("i", 4), ("q", 8), ("f", 4), ("d", 8)][rng.integers(6)]
    at = int(rng.integers(max(_header(data, rng) // width, 1))) * width
    order = "<>"[rng.integers(2)]
    if form in "fd":
        value = [float("nan"), float("inf"), -1.0, 1e38, 0.0][rng.integers(5)]
        field = struct.pack(order + form, value)
    else:
        value = EXTREMES[rng.integers(len(EXTREMES))] * (1 if rng.random() < 0.8 else -1)
        field = (value & (256**width - 1)).to_bytes(width, "little" if order == "<" else "big")
    out[at : at + width] = field
    return bytes(out[: len(data)])


def cut(data, rng):
    """Cut short, often within the header."""
    return data[: int(rng.integers(_header(data, rng) + 1))]


def swap(data, rng):
    """Swap the byte order of a stretch of the header, by 2, 4 or 8."""
    width = int(2 ** rng.integers(1, 4))
    start = int(rng.integers(max(min(len(data), HEADER) // width, 1))) * width
    end = min(len(data), start + width * int(rng.integers(1, 40)))
    parts = [data[i : i + width][::-1] for i in range(start, end, width)]
    return data[:start] + b"".join(parts) + data[end:]


def noise(data, rng):
    """Random bytes over a stretch."""
    start = int(rng.integers(_header(data, rng) + 1))
    n = int(rng.integers(1, 65))
    return data[:start] + rng.bytes(n) + data[start + n :]


def insert(data, rng):
    """Random bytes between others."""
    at = int(rng.integers(_header(data, rng) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 65))) + data[at:]


def repeat(data, rng):
    """A stretch twice."""
    start = int(rng.integers(_header(data, rng) + 1))
    end = start + int(rng.integers(1, 513))
    return data[:end] + data[start:]


def whole(data, rng):
    """Something else entirely: nothing, zeros, noise, text, a folder."""
    n = max(len(data), 1)
    kinds = [b"", bytes(n), rng.bytes(n), b"so\nis\tthis\n" * 9, b"PK\x03\x04" + data, None]
    return kinds[rng.integers(len(kinds))]


def text(data, rng):
    """Spoil text: encoding, line ends, quotes, columns, numbers, names; or as bytes."""
    if rng.random() < 0.15:
        return binary(data, rng)
    ways = [encoding, lines, cells, cells, cells, columns, quotes, long, pieces]
    way = ways[rng.integers(len(ways))]
    return way.__name__, way(data.decode("utf-8", "replace"), rng)


def encoding(content, rng):
    """Other encodings, byte order marks, bytes that are no text."""
    kinds = [
        lambda: b"\xef\xbb\xbf" + content.encode(),
        lambda: content.encode("utf-16"),
        lambda: content.encode() + b"\xff\xfe\x80",
        lambda: content.encode().replace(b"e", b"\xe9", 1),
        lambda: content.encode().replace(b"\t", b"\t\0", 1),
        lambda: b"\0" * 4 + content.encode(),
    ]
    return kinds[rng.integers(len(kinds))]()


def lines(content, rng):
    """Line ends, missing, double and blank lines."""
    rows = content.split("\n")
    kinds = ["\r\n".join(rows), "\r".join(rows), " ".join(rows), rows[0], "\n".join(rows[1:])]
    kinds += ["\n\n".join(rows), "\n".join(rows + rows[1:]), "\n" * 50 + content, rows[0] + "\n"]
    return kinds[rng.integers(len(kinds))].encode()


def cells(content, rng):
    """Another value in a cell."""
    rows = [row.split("\t") for row in content.split("\n")]
    row = rows[rng.integers(len(rows))]
    values = NUMBERS + NAMES
    row[rng.integers(len(row))] = values[rng.integers(len(values))]
    return "\n".join("\t".join(r) for r in rows).encode("utf-8", "surrogatepass")


def columns(content, rng):
    """Columns lost, double, too many, or not separated."""
    rows = [row.split("\t") for row in content.split("\n") if row]
    k = int(rng.integers(max(len(rows[0]), 1))) if rows else 0
    kinds = [
        [r[:k] + r[k + 1 :] for r in rows],
        [[*r, r[k % len(r)]] for r in rows],
        [r + ["x"] * (i % 3) for i, r in enumerate(rows)],
        [[",".join(r)] for r in rows],
        [[*r, *["y"] * 3000] for r in rows],
        [["a" if i == 0 else v for v in r] for i, r in enumerate(rows)],
    ]
    return "\n".join("\t".join(r) for r in kinds[rng.integers(len(kinds))]).encode()


def quotes(content, rng):
    """Quotes that do not close, and quoted line ends."""
    at = int(rng.integers(len(content) + 1))
    put = ['"', '"a\nb"', "'", '""', '"\t', "\\", "#", "{", "&x ", "*x ", "!!python/name:os.a "]
    return (content[:at] + put[rng.integers(len(put))] + content[at:]).encode()


def long(content, rng):
    """A very long field, line or nest."""
    at = int(rng.integers(len(content) + 1))
    put = ["x" * 300_000, "\t" * 300_000, "\n" * 100_000, "[" * 100_000, "{a: " * 20_000]
    put += ["9" * 99_999]
    return (content[:at] + put[rng.integers(len(put))] + content[at:]).encode()


def pieces(content, rng):
    """A piece taken away, double, or of another place."""
    a, b = sorted(int(n) for n in rng.integers(len(content) + 1, size=2))
    kinds = [content[:a] + content[b:], content[:b] + content[a:], content[a:b], content[b:]]
    return kinds[rng.integers(len(kinds))].encode()


def structured(data, rng):
    """Spoil JSON: a value of another kind, a key away, a bomb; or as text."""
    if rng.random() < 0.25:
        return text(data, rng)
    if rng.random() < 0.05:
        bombs = [b"[" * 200_000, b'{"a":' * 100_000, b"1" * 1_000_000, b"null", b"[]", b"{}", b"3"]
        return "bomb", bombs[rng.integers(len(bombs))]
    return "value", json.dumps(_spoilt(json.loads(data), rng)).encode()


def yaml_text(data, rng):
    """Spoil YAML: bombs of aliases, tags that make objects, nests, keys twice; or as text."""
    if rng.random() < 0.6:
        return text(data, rng)
    levels = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
    bombs = [
        "a0: &a0 [lol, lol]\n" + levels,
        '!!python/object/apply:os.system ["touch pwned"]\n',
        "a: !!python/name:os.system\n",
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "a: 1\na: 2\n",
        "{" * 50_000,
        "- " * 50_000 + "x\n",
        "a: !!binary ////\n",
        "? [a]\n: b\n",
        "a: 2001-99-99\n",
        "a: 1e999\nb: .nan\nc: 0o9\nd: 1:61:61\n",
        "<<: 3\n",
        "<<: [1]\na: b\n",
        "%YAML 9.9\n---\na: b\n",
        "a: b\n---\nc: d\n",
        "a: |\n" + " " * 100_000 + "x\n",
        "name: ${oc.env:HOME}\n",
        "a: \x07\n",
    ]
    kind = int(rng.integers(len(bombs)))
    return f"bomb {kind}", bombs[kind].encode() + (data if rng.random() < 0.3 else b"")


def _spoilt(node, rng):
    """One value of a nested document replaced, or a key taken away."""
    places = list(_places(node))
    if not places:
        return VALUES[rng.integers(len(VALUES))]
    holder, key = places[rng.integers(len(places))]
    values = VALUES + NAMES
    if isinstance(holder, dict) and rng.random() < 0.2:
        del holder[key]
    elif isinstance(holder[key], dict) and rng.random() < 0.2:
        holder[key] = {"_target_": "os.system", "command": "touch pwned"}
    else:
        holder[key] = values[rng.integers(len(values))]
    return node


def _places(node):
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from _places(node[key])


def _header(data, rng):
    """How many bytes count as the header: mostly few."""
    return max(min(len(data), [64, 352, HEADER, 10**9][rng.integers(4)]), 1)
