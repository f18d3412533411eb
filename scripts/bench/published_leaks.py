"""What published protocols make of pure noise, beside what whole groups held out make of it.

    python scripts/bench/published_leaks.py            # some minutes on one core
    python scripts/bench/published_leaks.py --small    # the sizes that the test runs

Responses are noise and classes are dealt at random, so that everything above chance is owed to the
protocol. Noise is white, or every trial has a state (an amplitude of each channel that lasts all of
it), as recordings have. The leaks are those of `classify.compat`, by the functions that the stage
itself uses. Two are simulated from arrays alone, since no stage offers them: channels of averaged
trials taken for samples (the published UMAP), and an embedding decoder whose epoch is the one that
does best on test pictures: stage train has no handle on test rows.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from neurodecode.rigour import trial_folds as protocols
from neurodecode.rigour.bootstrap import mean_interval

N_CHANNELS, N_TIMES, WINDOW, STEP = 16, 96, 32, 8


@dataclass(frozen=True)
class Line:
    """One line of the table: a leak, on what noise, honest and as published."""

    leak: str
    noise: str
    honest: np.ndarray
    published: np.ndarray
    chance: float

    def told(self, rng):
        """The line in print, with 95 % intervals over studies."""
        cells = [f"{self.leak:44} {self.noise:20}"]
        for values in (self.honest, self.published):
            low, high = mean_interval(values, np.arange(len(values)), 2000, rng)
            cells.append(f"{values.mean():.3f} [{low:.3f}, {high:.3f}]")
        return "  ".join([*cells, f"{self.chance:.3f}"])


def noise(n_trials, state, rng):
    """Trials of noise, (n_trials, N_CHANNELS, N_TIMES), with classes that mean nothing."""
    x = rng.standard_normal((n_trials, N_CHANNELS, N_TIMES))
    x *= np.exp(state * rng.standard_normal((n_trials, N_CHANNELS, 1)))
    return x, rng.permutation(np.arange(n_trials) % 2)


def power(x):
    """Log variance of each channel: what band-entropy features are of white noise."""
    return np.log(x.var(axis=-1))


def neighbours(train, labels, test):
    """Name the class of the nearest training row."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(1).fit(train, labels).predict(test)


def accuracy(x, labels, pieces, folds):
    """Share of pieces named rightly, by nearest neighbours of power."""
    rows = [
        x[t, :, s : s + pieces.n_samples] for t, s in zip(pieces.trial, pieces.start, strict=True)
    ]
    features, of = power(np.stack(rows)), labels[pieces.trial]
    right = [neighbours(features[a], of[a], features[b]) == of[b] for a, b in folds]
    return np.concatenate(right).mean()


def windows(state, n_trials, rng, step=STEP, cut=None):
    """Honest and leaky accuracy of one study cut into windows."""
    x, labels = noise(n_trials, state, rng)
    starts = range(0, N_TIMES - WINDOW + 1, step)
    pieces = protocols.Pieces.of(n_trials, list(starts), WINDOW)
    fold = protocols.group_folds(labels, np.arange(n_trials), 5, 0)
    leaky = cut(pieces) if cut else protocols.windows_dealt(pieces, 5, 0)
    honest = accuracy(x, labels, pieces, protocols.honest(fold, pieces))
    return honest, accuracy(x, labels, pieces, leaky)


def umap_on_all(n_trials, rng):
    """UMAP of trials fitted on training rows, and on all; neighbours vote."""
    import umap

    x, labels = noise(n_trials, 0.5, rng)
    flat, fold = power(x), protocols.group_folds(labels, np.arange(n_trials), 4, 0)
    found = np.zeros((2, n_trials))
    for k in range(4):
        a, b = fold != k, fold == k
        for i, seen in enumerate((a, np.ones(n_trials, bool))):
            made = umap.UMAP(n_components=2, random_state=0, init="random", n_jobs=1)
            made.fit(flat[seen])
            found[i, b] = neighbours(made.transform(flat[a]), labels[a], made.transform(flat[b]))
    return (found == labels).mean(axis=1)


def channels_as_samples(n_trials, rng):
    """Averages of each class, every channel a sample; honest: those of other trials' averages.

    Channels share part of their noise, as channels of one reference do.
    """
    import umap

    x, labels = noise(n_trials, 0.0, rng)
    x = x + 2 * rng.standard_normal((n_trials, 1, N_TIMES))
    halves = rng.permutation(n_trials) % 2
    mean = lambda rows: np.concatenate([x[rows & (labels == c)].mean(axis=0) for c in (0, 1)])
    of = np.repeat([0, 1], N_CHANNELS)
    told = []
    everything = mean(np.ones(n_trials, bool))
    test = rng.permutation(len(of)) < len(of) // 4
    cases = ((mean(halves == 0), of, mean(halves == 1), of), None)
    for case in cases:
        make = umap.UMAP(n_components=2, random_state=0, init="random", n_jobs=1)
        if case is None:
            spots = make.fit_transform(everything)
            told.append((neighbours(spots[~test], of[~test], spots[test]) == of[test]).mean())
        else:
            train, truth, other, asked = case
            spots = make.fit_transform(train)
            told.append((neighbours(spots, truth, make.transform(other)) == asked).mean())
    return told


def epochs_on_test(n_trials, rng, n_epochs=100):
    """A network trained on noise: its last epoch, and the epoch that does best on test trials."""
    import torch

    x, labels = noise(n_trials, 0.0, rng)
    test = np.arange(n_trials) % 4 == 0
    features = power(x)
    rows = torch.as_tensor((features - features.mean(axis=0)) / features.std(axis=0)).float()
    of = torch.as_tensor(labels)
    torch.manual_seed(int(rng.integers(2**31)))
    net = torch.nn.Sequential(
        torch.nn.Linear(N_CHANNELS, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)
    )
    optimiser = torch.optim.Adam(net.parameters(), 1e-1)
    curve, train = [], np.flatnonzero(~test)
    for _ in range(n_epochs):
        for batch in np.array_split(rng.permutation(train), max(1, len(train) // 8)):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(rows[batch]), of[batch]).backward()
            optimiser.step()
        curve.append(float((net(rows[test]).argmax(1) == of[test]).float().mean()))
    return curve[-1], max(curve)


def retrieval_on_test(n_trials, rng, n_epochs=40, n_candidates=50, dim=16):
    """An embedding decoder on noise: top 1 of the last epoch, and of the best one on test."""
    import torch

    x, _ = noise(n_trials + n_candidates, 0.0, rng)
    rows = torch.as_tensor(x.reshape(len(x), -1)).float()
    targets = torch.nn.functional.normalize(
        torch.as_tensor(rng.standard_normal((len(x), dim))).float(), dim=1
    )
    torch.manual_seed(int(rng.integers(2**31)))
    net = torch.nn.Sequential(
        torch.nn.Linear(rows.shape[1], 32), torch.nn.ReLU(), torch.nn.Linear(32, dim)
    )
    optimiser = torch.optim.Adam(net.parameters(), 1e-1)
    curve = []
    for _ in range(n_epochs):
        for batch in np.array_split(rng.permutation(n_trials), max(1, n_trials // 8)):
            optimiser.zero_grad()
            said = torch.nn.functional.normalize(net(rows[batch]), dim=1)
            logits = said @ targets[batch].T / 0.07
            torch.nn.functional.cross_entropy(logits, torch.arange(len(batch))).backward()
            optimiser.step()
        found = (net(rows[n_trials:]) @ targets[n_trials:].T).argmax(1)
        curve.append(float((found == torch.arange(n_candidates)).float().mean()))
    return curve[-1], max(curve)


def table(n_studies, n_trials, seed=0, with_umap=True):
    """Every leak, over studies of noise: list of Line."""
    time_folds = lambda pieces: protocols.along_time(pieces, 3)
    cases = [
        ("overlapping windows across folds", "white", 0.5,
         lambda rng: windows(0.0, n_trials, rng)),
        ("overlapping windows across folds", "trials have a state", 0.5,
         lambda rng: windows(0.5, n_trials, rng)),
        ("same clip on both sides", "white", 0.5,
         lambda rng: windows(0.0, n_trials, rng, WINDOW, time_folds)),
        ("same clip on both sides", "trials have a state", 0.5,
         lambda rng: windows(0.5, n_trials, rng, WINDOW, time_folds)),
        ("epoch chosen on test trials", "white", 0.5,
         lambda rng: epochs_on_test(n_trials, rng)),
        ("epoch chosen on test pictures, top 1 of 50", "white", 0.02,
         lambda rng: retrieval_on_test(n_trials, rng)),
    ]  # fmt: skip
    if with_umap:
        cases += [
            ("UMAP fitted on all rows", "trials have a state", 0.5,
             lambda rng: umap_on_all(n_trials, rng)),
            ("channels of averaged trials as samples", "channels share noise", 0.5,
             lambda rng: channels_as_samples(n_trials, rng)),
        ]  # fmt: skip
    lines = []
    for leak, what, chance, one in cases:
        rng = np.random.default_rng(seed)
        times = 4 if leak.startswith(("epoch", "channels")) else 1  # quick, and they vary more
        found = np.array([one(rng) for _ in range(times * n_studies)])
        lines.append(Line(leak, what, *found.T, chance))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="sizes of the test")
    parser.add_argument("--no-umap", action="store_true", help="leave UMAP out (umap-learn)")
    options = parser.parse_args()
    size = (8, 40) if options.small else (20, 80)
    rng = np.random.default_rng(1)
    print(f"{'leak':44} {'noise':20}  {'honest':20}  {'as published':20}  chance")
    for line in table(*size, with_umap=not options.no_umap):
        print(line.told(rng))


if __name__ == "__main__":
    main()
