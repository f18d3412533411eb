"""Tables of samples, one line each: of which row it is, and which of that row's."""

import numpy as np


def sample_table(row_id, n_per_row):
    """One line per sample: its row, and its number within the row from 0."""
    import pandas as pd

    table = pd.DataFrame({"row_id": np.repeat(row_id.to_numpy(), n_per_row)})
    return table.assign(sample=table.groupby("row_id", sort=False).cumcount())


def line_of(samples):
    """The row of each line of `samples`, as a number."""
    return samples.groupby("row_id", sort=False).ngroup().to_numpy()
