"""Damage the artifacts of a finished run in every way, and see that it is noticed and healed.

    python scripts/bench/damage.py                     # 400 damages of a small study; 4 min
    python scripts/bench/damage.py --damages 2000 --heal 40 experiment=demo

Single flipped bits, truncations, deletions and swapped files, at random files (manifests too) and
places. Each must be noticed by reading the file as stages do, and by reading all bytes as
`neurodecode verify` does. Then, for some of them, the run is started again: the damaged artifact,
if the run reads it, is computed anew, and figures.json comes out with the same bytes. A large file
(80 MiB) is read block by block: a flipped bit is noticed in its block, and in no other.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

N_ROWS, ROW_BYTES = 5120, 16384  # 80 MiB
KINDS = ("flip", "truncate", "delete", "swap")
SMALL = ["recipe=world_small", "name=small", "threads=1", "device=cpu"]
SMALL += ["evaluate.n_bootstrap=50", "evaluate.n_permutations=50"]


def damage(kind, path, other, rng):
    """Do it; the number of a bit for flips. Returns what undoes it, as a callable."""
    before = path.read_bytes()
    stat = path.stat()
    if kind == "flip":
        place = rng.randrange(len(before) * 8)
        after = bytearray(before)
        after[place // 8] ^= 1 << place % 8
        path.write_bytes(bytes(after))
    elif kind == "truncate":
        path.write_bytes(before[: rng.randrange(len(before))])
    elif kind == "delete":
        path.unlink()
    else:
        path.write_bytes(other.read_bytes())
    if path.exists():
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a failing disk would
    return lambda: (
        path.write_bytes(before),
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns)),
    )


def draw(artifacts, rng):
    """Choose a kind of damage, a file, and one with other bytes to swap it with."""
    everything = [(a, n) for a in artifacts for n in [*a.files, "manifest.json"]]
    while True:
        artifact, name = rng.choice(everything)
        path = artifact.folder / name
        other = rng.choice(everything)
        other = other[0].folder / other[1]
        kind = rng.choice(KINDS)
        if not path.stat().st_size and kind != "swap" and kind != "delete":
            continue  # an empty file has no bits
        if kind != "swap" or other.read_bytes() != path.read_bytes():
            return kind, artifact, name, other


def read_as_stages_do(artifact, name):
    """Whether reading the file notices the damage, in a process that never read it before."""
    from neurodecode.core import store
    from neurodecode.core.errors import DamagedArtifact

    store._checked.clear()
    found = store.read_artifact(artifact.folder)
    if found is None:
        return True
    try:
        found.path(name) if name in found.files else None
    except DamagedArtifact:
        return True
    return False


def noticed(root, n_damages, rng):
    """Damage and mend, many times; yield (kind, noticed by reading, noticed by verify)."""
    from neurodecode.core.store import Store, damages

    artifacts = list(Store(root).artifacts())
    for _ in range(n_damages):
        kind, artifact, name, other = draw(artifacts, rng)
        mend = damage(kind, artifact.folder / name, other, rng)
        yield kind, read_as_stages_do(artifact, name), bool(damages(artifact))
        mend()
        if read_as_stages_do(artifact, name) or damages(artifact):
            raise SystemExit(f"{artifact.folder / name} was mended, and still looks damaged")


def run(folder, overrides):
    """Run the experiment on the store of this bench; return figures.json and what was printed."""
    own = [f"store={folder / 'store'}", f"hydra.run.dir={folder / 'run'}"]
    command = [sys.executable, "-m", "neurodecode.cli", "run", *overrides, *own]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return (folder / "run" / "figures.json").read_bytes(), done.stdout


def healed(folder, overrides, n_heals, rng, figures):
    """Damage a few files, run again; yield if figures came out as before, and what was hit."""
    from neurodecode.core.store import Store

    for _ in range(n_heals):
        artifacts = list(Store(folder / "store").artifacts())
        shutil.rmtree(folder / "run")
        hit = []
        for _ in range(rng.randint(1, 3)):
            kind, artifact, name, other = draw(artifacts, rng)
            if (artifact.folder / name).exists():
                damage(kind, artifact.folder / name, other, rng)
                hit.append(f"{kind} {artifact.folder.parts[-3]}/{name}")
        again, said = run(folder, overrides)
        yield again == figures, said.count("✓"), hit


def blocks(rng, n=40):
    """Flip bits in an 80 MiB array; yield whether its block noticed, and whether another did."""
    from neurodecode.core import store

    with tempfile.TemporaryDirectory() as folder:
        one = store.Store(folder)
        scratch, place = one.scratch(), ("big", "k" * 64, store.digest({}))
        np.save(scratch / "x.npy", np.random.default_rng(0).normal(size=(N_ROWS, ROW_BYTES // 8)))
        manifest = {"stage": "big", "key": "k" * 64, "code": {}}
        artifact = one.publish(scratch, place, manifest)
        path = artifact.folder / "x.npy"
        offset = path.stat().st_size - N_ROWS * ROW_BYTES
        for _ in range(n):
            at = rng.randrange(offset, path.stat().st_size)
            with open(path, "r+b") as file:
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 1 << rng.randrange(8)]))
            store._checked.clear()
            yield read_block(artifact, (at - offset) // ROW_BYTES)
            with open(path, "r+b") as file:
                file.seek(at)
                file.write(byte)


def read_block(artifact, row):
    """Read a damaged row, and one two blocks on; say if the first alone is noticed."""
    from neurodecode.core.blocks import BLOCK
    from neurodecode.core.errors import DamagedArtifact

    try:
        array = artifact.array("x.npy")
        quiet = len(array[[(row + 2 * BLOCK // ROW_BYTES) % N_ROWS]]) == 1
    except DamagedArtifact:
        return row < BLOCK // ROW_BYTES, True  # the first block holds the header: nothing is read
    try:
        array[row : row + 1]
    except DamagedArtifact:
        return True, quiet
    return False, quiet


def main():
    """Print the counts; return 0 if everything was noticed and healed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--damages", type=int, default=400)
    parser.add_argument("--heal", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", default=SMALL)
    arguments = parser.parse_args()
    rng, good = random.Random(arguments.seed), True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        figures, _ = run(folder, arguments.overrides)
        seen = list(noticed(folder / "store", arguments.damages, rng))
        for kind in KINDS:
            own = [(r, v) for k, r, v in seen if k == kind]
            read, verified = (sum(x) for x in zip(*own, strict=True))
            print(f"{kind:9} {len(own):4} done, {read} noticed when read, {verified} by verify")
            good &= read == verified == len(own)
        found = list(blocks(rng))
        print(
            f"blocks    {len(found):4} done, {sum(s for s, _ in found)} noticed in their block, "
            f"{sum(q for _, q in found)} of them nowhere else"
        )
        good &= all(s and q for s, q in found)
        for same, n_computed, hit in healed(
            folder, arguments.overrides, arguments.heal, rng, figures
        ):
            good &= same
            word = "same figures" if same else "OTHER FIGURES"
            print(f"healed: {word}, {n_computed} computed anew after {', '.join(hit)}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
