"""Reading in: recipes, BIDS folders, trial and stimulus tables."""
