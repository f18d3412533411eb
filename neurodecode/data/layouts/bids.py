"""BIDS: raw data with events, or derivatives such as fMRIPrep's beside them."""

from neurodecode.data import bids
from neurodecode.data.readers import reader_of
from neurodecode.data.trials import read_events


class Bids:
    """A BIDS data set; which files count is said by the recipe's patterns of entities."""

    def runs(self, recipe, root):
        """Find all runs; see `neurodecode.data.bids.find_runs`."""
        return bids.find_runs(recipe, root)

    def facts(self, run):
        """Read how a run was sampled, from header and sidecars, by the reader of its format.

        Raises ValueError if the hemispheres of a surface differ in this.
        """
        reader, sidecar = reader_of(run.signal), bids.read_sidecars(run)
        found = {path: reader.facts(path, sidecar) for path in run.signals.values()}
        for path, fact in found.items():
            if fact != found[run.signal]:
                said = [f"{f['n_volumes']} volumes of {f['tr_s']:g} s" for f in found.values()]
                raise ValueError(
                    f"{run.signal} has {said[0]}, {path} {said[-1]}: the hemispheres of a run must "
                    "agree; make them again from the same run"
                )
        return found[run.signal]

    def events(self, run, recipe, facts):
        """Read the events of a run; see `neurodecode.data.trials.read_events`."""
        return read_events(run.events, recipe, facts.get("duration_s"))
