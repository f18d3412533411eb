"""From recordings to one response per trial: HRF, single-trial GLM, scaling, reliability."""
