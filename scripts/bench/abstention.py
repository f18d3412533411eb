"""False alarms and power of the flag "could be a draw of the prior", over simulated studies.

    python scripts/bench/abstention.py           # 4,000 rows a cell; about a minute
    python scripts/bench/abstention.py --rows 400

In each study half of the rows' samples share part of their variance, as if read from a brain; the
other half are prior draws. Heavy tails: prior draws of a multivariate t with 5 degrees of freedom.
"""

import argparse

import numpy as np

from neurodecode.rigour.abstention import indistinguishable

N_PRIOR, ROWS_A_STUDY, DIM = 100, 40, 64
SCALE = (1.0 + np.arange(DIM)) ** -0.5  # of the dimensions of an embedding


def prior(n, heavy, rng):
    """Draw from the prior: (n, DIM)."""
    draws = SCALE * rng.normal(size=(n, DIM))
    return draws * np.sqrt(3 / rng.chisquare(5, (n, 1))) if heavy else draws


def study(n_samples, share, heavy, rng):
    """Test one study's rows: p of those with signal, p of those without."""
    rows = [prior(n_samples, heavy, rng) for _ in range(ROWS_A_STUDY)]
    for row in rows[: ROWS_A_STUDY // 2]:
        row[:] = np.sqrt(share) * prior(1, heavy, rng) + np.sqrt(1 - share) * row
    p = indistinguishable(rows, prior(N_PRIOR, heavy, rng), rng)
    return p[: ROWS_A_STUDY // 2], p[ROWS_A_STUDY // 2 :]


def auc(signal, none):
    """Chance that a row with signal has the smaller p, ties half."""
    less = (signal[:, None] < none).mean()
    return less + (signal[:, None] == none).mean() / 2


def main():
    """Print one line a cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000, help="null rows a cell")
    n_rows = parser.parse_args().rows
    studies = max(1, 2 * n_rows // ROWS_A_STUDY)
    print(f"{studies * ROWS_A_STUDY // 2} null rows a cell, {N_PRIOR} prior draws, p <= .05")
    print("prior     samples  share  false alarms  power    AUC")
    fine = True
    for heavy in (False, True):
        for n_samples in (2, 4, 8):
            for share in (0.1, 0.2, 0.4):
                rng = np.random.default_rng([n_samples, int(100 * share), heavy])
                found = [study(n_samples, share, heavy, rng) for _ in range(studies)]
                signal, none = (np.concatenate(part) for part in zip(*found, strict=True))
                alarms, power = (none <= 0.05).mean(), (signal <= 0.05).mean()
                fine &= abs(alarms - 0.05) <= 0.01
                print(
                    f"{'heavy' if heavy else 'Gaussian':8s}  {n_samples:7d}  {share:5.1f}  "
                    f"{alarms:12.4f}  {power:5.3f}  {auc(signal, none):5.3f}"
                )
    print("false alarms within .05 ± .01" if fine else "false alarms out of .05 ± .01")
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
