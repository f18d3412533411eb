"""What the columns of exported tables are, in the words and fields of BIDS sidecars."""

COLUMNS = {
    "onset": {"Description": "Onset of the trial, from the start of its run.", "Units": "s"},
    "duration": {"Description": "How long the stimulus was shown.", "Units": "s"},
    "trial_id": {"Description": "The trial; the same in every table."},
    "trial_ids": {"Description": "The trials that were averaged, separated by commas."},
    "subject": {"Description": "The subject, as the source data set names it."},
    "session": {"Description": "The session, as the source data set names it."},
    "run": {"Description": "The run, as the source data set names it."},
    "stimulus_id": {"Description": "What was shown; the pictures are in the source data set."},
    "repeat": {"Description": "Which showing of the stimulus to the subject, from 1."},
    "split": {
        "Description": "What the trial was used for.",
        "Levels": {
            "train": "fitting",
            "val": "selection and stopping",
            "test": "scores only",
            "unused": "nothing",
        },
    },
    "row_id": {"Description": "A test row: a stimulus, or one trial of it."},
    "n_repeats": {"Description": "How many trials were averaged."},
    "sample": {"Description": "Number of the sample."},
    "chosen": {"Description": "Whether this sample was chosen of its row; by the brain alone."},
    "evidence": {"Description": "Cosine of the picture's embedding to the decoded one."},
    "file": {"Description": "The picture, relative to this table."},
    "participant_id": {"Description": "The participant."},
    "n_trials": {"Description": "Number of trials."},
    "n_runs": {"Description": "Number of runs."},
    "n_stimuli": {"Description": "Number of different stimuli."},
    "desc_id": {"Description": "A desc- entity of this data set."},
    "description": {"Description": "What it stands for."},
    "time": {"Description": "Time from the onset of the stimulus.", "Units": "s"},
    "time_s": {"Description": "Middle of the window, from the onset.", "Units": "s"},
    "start_s": {"Description": "Start, from the onset of the stimulus.", "Units": "s"},
    "end_s": {"Description": "End, from the onset of the stimulus.", "Units": "s"},
    "name": {"Description": "Name of the sensor."},
    "type": {"Description": "Kind of sensor."},
    "unit": {"Description": "Unit of its responses."},
    "x_mm": {"Description": "Position to the right.", "Units": "mm"},
    "y_mm": {"Description": "Position to the front.", "Units": "mm"},
    "z_mm": {"Description": "Position upwards.", "Units": "mm"},
    "channel": {"Description": "Number of the channel, from 0."},
    "roi": {"Description": "Region of interest."},
    "hemisphere": {"Description": "Hemisphere of the vertex."},
    "vertex": {"Description": "Number of the vertex in its mesh, from 0; -1 for a voxel."},
    "condition": {"Description": "The model or a control, or `all`; see descriptions.tsv."},
    "kind": {"Description": "model, baseline, control, reference or ceiling; or what it is of."},
    "metric": {"Description": "Name of the score."},
    "space": {"Description": "What is compared: pictures, or which embedding."},
    "set_size": {"Description": "Number of candidates, or of resampled rows."},
    "value": {"Description": "The score."},
    "lo": {"Description": "Lower end of its interval."},
    "hi": {"Description": "Upper end of its interval."},
    "n": {"Description": "On how many rows, stimuli or windows it rests."},
    "chance": {"Description": "What guessing scores."},
    "p": {"Description": "Permutation p-value, one-sided."},
    "p_max": {"Description": "p-value corrected over scores by the largest (max-T)."},
    "q": {"Description": "p-value corrected by false discovery rate."},
    "p_equivalent": {"Description": "p-value of the test that both differ by the margin or more."},
    "ceiling": {"Description": "The score of the true features by the same generator."},
    "better": {"Description": "Whether higher or lower is better."},
    "summary": {"Description": "How rows were summed up."},
    "a": {"Description": "First condition of the comparison."},
    "b": {"Description": "Second condition of the comparison."},
    "model": {"Description": "Score of the model."},
    "prior_only": {"Description": "Score of samples without a brain."},
    "estimator": {"Description": "How the ceiling was estimated."},
    "over": {"Description": "What was permuted: stimuli or subjects."},
    "mass": {"Description": "Sum of the statistic over the cluster."},
    "trial_type": {"Description": "Kind of event, as the source data set names it."},
    "difference": {"Description": "Score of a less that of b, paired by row."},
}
NUISANCE = "What else could tell trials apart, never told to the decoder: "
FREE = "A column of the study's own tables."


def described(columns):
    """Describe columns for a sidecar.

    Parameters
    ----------
    columns : iterable of str

    Returns
    -------
    described : dict
        ``{column: {"Description": …}}``, for every column.
    """
    return {str(name): _of(str(name)) for name in columns}


def _of(name):
    if name.startswith("nuisance_"):
        return {"Description": NUISANCE + name.removeprefix("nuisance_")}
    return COLUMNS.get(name, {"Description": FREE})
