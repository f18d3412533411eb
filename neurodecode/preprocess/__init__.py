"""From one subject's recordings to one response per trial: a file for each kind of recording."""
