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
        """Read how a run was sampled, from header and sidecars, by the reader of its format."""
        return reader_of(run.signal).facts(run.signal, bids.read_sidecars(run))

    def events(self, run, recipe, facts):
        """Read the events of a run; see `neurodecode.data.trials.read_events`."""
        return read_events(run.events, recipe, facts.get("duration_s"))
