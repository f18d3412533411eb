"""One subject of a category study: conditions name blocks, and choose between unseen categories."""

from dataclasses import dataclass, field

import numpy as np

from neurodecode.rigour.nested import nested_scores, ranks, top_hits
from neurodecode.rigour.run_draws import deal_labels, dealt_scores, pair_score, run_score
from neurodecode.rigour.zero_shot import all_pairs, choices, matched, pair_weights, right

METRICS = {  # name: (better, what the score of n classes is by chance)
    "accuracy": ("higher", lambda n: 1 / n),
    "rank": ("lower", lambda n: (n - 1) / 2),
    "zero_shot": ("higher", lambda n: 0.5),
    "zero_shot_matching": ("higher", lambda n: 0.5),
}


@dataclass
class CategoryStudy:
    """Blocks with a category each, in runs; filled condition by condition.

    Parameters
    ----------
    labels : ndarray of int, shape (n_rows,)
    runs : array, shape (n_rows,)
    n_classes : int

    Attributes
    ----------
    scores : dict
        Condition -> (n_rows, n_classes), each row scored without its run.
    chosen : dict
        Condition -> {run: number of the candidate that inner folds chose}.
    choices : dict
        Condition -> {pair: (rows, right, matched)} of the unseen pairs.
    null : dict
        (condition, metric) -> scores under permutation.
    """

    labels: np.ndarray
    runs: np.ndarray
    n_classes: int
    scores: dict = field(default_factory=dict)
    chosen: dict = field(default_factory=dict)
    choices: dict = field(default_factory=dict)
    null: dict = field(default_factory=dict)

    def name_blocks(self, score_of, n_permutations, rng_of, n_jobs=1, progress=iter):
        """Score every block by nested folds; p-values deal labels to the scores as they are.

        Parameters
        ----------
        score_of : dict
            Condition -> callable (train, test) -> ndarray (n_candidates, n_test, n_classes),
            picklable.
        n_permutations : int
        rng_of : callable () -> numpy.random.Generator
            In the same state each time: conditions share their deals.
        n_jobs : int
            Processes; the numbers do not depend on it.
        progress : callable (iterable) -> iterable
        """
        calls = [(nested_scores, s, self.labels, self.runs) for s in score_of.values()]
        done = progress(_side_by_side(calls, n_jobs))
        for condition, (scores, chosen) in zip(score_of, done, strict=True):
            self.scores[condition], self.chosen[condition] = scores, chosen
            self._deal(condition, n_permutations, rng_of())

    def _deal(self, condition, n_permutations, rng):
        dealt = deal_labels(self.labels, self.runs, n_permutations, rng)
        scores = self.scores[condition]
        for metric, measure in (("accuracy", top_hits), ("rank", ranks)):
            truths = range(self.n_classes)
            table = [measure(scores, np.full(len(scores), truth)) for truth in truths]
            self.null[condition, metric] = dealt_scores(np.stack(table), dealt)

    def refit(self, condition, score_given, n_refits, rng, n_jobs=1, progress=iter):
        """Replace a condition's permutations: fit and choose anew on labels dealt within runs.

        Parameters
        ----------
        score_given : callable (labels, train, test) -> scores, picklable
        n_refits : int
        rng : numpy.random.Generator
        n_jobs, progress
            As in :meth:`name_blocks`.
        """
        dealt = deal_labels(self.labels, self.runs, n_refits, rng)
        calls = [(_named_anew, score_given, labels, self.runs) for labels in dealt]
        done = progress(_side_by_side(calls, n_jobs))
        values = np.array(list(done)).reshape(-1, 2)
        self.null[condition, "accuracy"], self.null[condition, "rank"] = values.T

    def tell_unseen(self, weigh, targets, orders, n_jobs=1, progress=iter):
        """Choose between two unseen categories, for all pairs; permute the names.

        Parameters
        ----------
        weigh : callable (train, test) -> ndarray, shape (n_candidates, n_test, n_classes)
            Weights of the classes, which know nothing of names.
        targets : dict
            Condition -> embeddings, (n_classes, dim).
        orders : ndarray of int, shape (n_orders, n_classes)
            Which category gets which embedding, for the null.
        n_jobs, progress
            As in :meth:`name_blocks`.
        """
        orders = np.concatenate([[np.arange(self.n_classes)], orders])
        nulls = {name: [] for name in targets}
        pairs = all_pairs(self.n_classes)
        calls = [(pair_weights, weigh, self.labels, self.runs, pair) for pair in pairs]
        for pair, found in zip(pairs, progress(_side_by_side(calls, n_jobs)), strict=True):
            for name, embeddings in targets.items():
                margins = choices(found, self.labels, embeddings, orders)
                hits, both = right(margins), matched(margins, self.runs[found.rows])
                self.choices.setdefault(name, {})[pair] = (found.rows, hits[0], both[0])
                nulls[name].append([hits[1:].mean(axis=1), both[1:].mean(axis=1)])
        for name, null in nulls.items():
            single, joint = np.mean(null, axis=0)
            self.null[name, "zero_shot"], self.null[name, "zero_shot_matching"] = single, joint

    def row_values(self, condition):
        """What each row earns, per metric, (n_rows,).

        Of the unseen pairs, the mean over those in which the row's category was unseen.
        """
        scores, pairs = self.scores[condition], self.choices.get(condition)
        values = {"accuracy": top_hits(scores, self.labels), "rank": ranks(scores, self.labels)}
        if pairs:
            rows = np.concatenate([rows for rows, _, _ in pairs.values()])
            hits = np.concatenate([hits for _, hits, _ in pairs.values()])
            n_rows = len(self.labels)
            times = np.bincount(rows, minlength=n_rows)
            values["zero_shot"] = np.bincount(rows, hits, n_rows) / times
        return values

    def judged(self, condition, n_bootstrap, rng_of):
        """Every metric of a condition with its draws: ``{metric: RunScore}``.

        `rng_of` makes a new generator in the same state each time, so that draws are paired.
        """
        null = lambda metric: self.null.get((condition, metric), ())
        found = {
            metric: run_score(values, self.runs, n_bootstrap, rng_of(), null(metric))
            for metric, values in self.row_values(condition).items()
            if metric != "zero_shot"
        }
        pairs = self.choices.get(condition, {})
        for place, metric in enumerate(("zero_shot", "zero_shot_matching"), start=1):
            values = [outcome[place].mean() for outcome in pairs.values()]
            if values:
                score = pair_score(values, list(pairs), n_bootstrap, rng_of(), null(metric))
                found[metric] = score
        return found

    def confusion(self, condition):
        """Count blocks of each true class (rows) by the class named (columns)."""
        counts = np.zeros((self.n_classes, self.n_classes), dtype=np.int64)
        np.add.at(counts, (self.labels, self.scores[condition].argmax(axis=1)), 1)
        return counts


def _side_by_side(calls, n_jobs):
    """Call ``(function, *arguments)`` in processes; yield the results in order."""
    from joblib import Parallel, delayed

    return Parallel(n_jobs, return_as="generator")(delayed(_one_thread)(*call) for call in calls)


def _one_thread(function, *arguments):
    """Matrices of some hundred rows gain nothing from threads, and lose much on busy cores."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        return function(*arguments)


def _named_anew(score_given, labels, runs):
    scores, _ = nested_scores(lambda train, test: score_given(labels, train, test), labels, runs)
    return top_hits(scores, labels).mean(), ranks(scores, labels).mean()
