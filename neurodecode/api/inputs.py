"""What a notebook holds of trials and of pictures, as arrays: images, epochs, files, or arrays."""

from pathlib import Path

import numpy as np

NIFTI = (".nii", ".nii.gz")
PER_SI = {"µV": 1e6, "uV": 1e6, "mV": 1e3, "nV": 1e9, "fT": 1e15, "pT": 1e12, "fT/cm": 1e13}
"""Unit of a sensor -> how many of them are one V, T or T/m, which mne's epochs are in."""


def as_responses(X, mask=None, sensors=None, times_s=None):
    """Turn trials into an array; arrays, and what only numpy knows how to read, pass unchanged.

    Parameters
    ----------
    X : array, mne.Epochs, 4-D image, or list of 3-D images
        Images may be nibabel's or paths of NIfTI files; the last axis of a 4-D one is trials.
    mask : image, path or fitted masker, optional
        Which voxels, in the order of ``data[mask > 0]``; needed for images.
    sensors : DataFrame, optional
        ``name`` of the sensors, in order, and ``unit``; None takes the data channels of the epochs
        in mne's own units.
    times_s : ndarray, shape (n_times,), optional
        When the samples of epochs must be; None: at any time.

    Returns
    -------
    responses : ndarray, shape (n_trials, n_channels[, n_times])

    Raises
    ------
    ValueError
        For images without a mask or on another grid, or epochs that lack a sensor or were cut at
        other times.
    """
    if hasattr(X, "get_data") and hasattr(X, "ch_names"):
        if times_s is not None:
            _check_times(X.times, times_s)
        return _of_epochs(X, sensors)
    if _is_image(X) or _is_list_of(X, _is_image):
        return _of_images(X, mask)
    return X


def as_embeddings(Y, target=None):
    """Turn pictures into embeddings; embeddings pass unchanged.

    Parameters
    ----------
    Y : array (n_trials, dim), or list of pictures
        Pictures: paths, PIL images or uint8 arrays (height, width, 3), or one array of them.
    target : neurodecode.contrastive.targets.Target, or callable () -> Target
        Embeds pictures.

    Returns
    -------
    embeddings : array
        Unit rows (n_trials, dim) for pictures.
    """
    pictures = as_pictures(Y)
    if pictures is None:
        return Y
    embed = target if hasattr(target, "pictures") else target()
    return embed.pictures(pictures)[0]


def as_pictures(Y):
    """Return pictures as one uint8 array (n, height, width, 3); None if these are none."""
    if isinstance(Y, np.ndarray) and Y.dtype == np.uint8 and Y.ndim == 4:
        return Y
    if not _is_list_of(Y, _is_picture):
        return None
    if all(isinstance(y, str | Path) for y in Y):
        from neurodecode.data.stimuli import load_pictures
        from neurodecode.stages.embed import common_size

        paths = [Path(y).expanduser().absolute() for y in Y]
        for path in paths:
            if not path.is_file():
                raise FileNotFoundError(f"the picture {path} is not there")
        return load_pictures(Path("/"), paths, common_size(Path("/"), paths))
    return _stacked([y if isinstance(y, np.ndarray) else _of_pil(y) for y in Y])


def _check_times(own_s, times_s):
    if len(own_s) != len(times_s) or np.abs(own_s - times_s).max() > 1e-6:
        told = [f"{t[0]:g} to {t[-1]:g} s in {len(t)} samples" for t in (own_s, times_s)]
        raise ValueError(
            f"the epochs go from {told[0]}, the model reads {told[1]}: cut and resample them as "
            "the run did"
        )


def _of_epochs(epochs, sensors):
    if sensors is None:
        return epochs.get_data(picks="data")
    names = sensors["name"].tolist()
    if missing := [n for n in names if n not in epochs.ch_names]:
        raise ValueError(
            f"the epochs lack {len(missing)} of {len(names)} sensors that the model reads, such as "
            f"{', '.join(missing[:5])}; they have {', '.join(epochs.ch_names[:8])} …"
        )
    per_si = np.array([PER_SI.get(unit, 1.0) for unit in sensors["unit"]])
    return epochs.get_data(picks=names) * per_si[:, None]


def _of_images(X, mask):
    import nibabel
    from nilearn.masking import apply_mask

    if mask is None:
        raise ValueError("images need a mask that says which voxels are read: give mask=…")
    load = lambda image: nibabel.load(image) if isinstance(image, str | Path) else image
    images = [load(image) for image in X] if isinstance(X, list | tuple) else load(X)
    if hasattr(mask, "transform"):
        found = mask.transform(images)
    else:
        mask = load(mask)
        for image in images if isinstance(images, list) else [images]:
            same = image.shape[:3] == mask.shape[:3]
            if not same or not np.allclose(image.affine, mask.affine, atol=1e-3):
                raise ValueError(
                    f"an image of {image.shape[:3]} voxels lies on another grid than the mask, "
                    f"which has {mask.shape[:3]}: resample it to the mask"
                )
        found = apply_mask(images, mask)
    return np.atleast_2d(found)


def _is_image(X):
    if isinstance(X, str | Path):
        return str(X).endswith(NIFTI)
    return hasattr(X, "affine") and hasattr(X, "dataobj")


def _is_picture(y):
    if isinstance(y, np.ndarray):
        return y.ndim == 3 and y.dtype == np.uint8
    return isinstance(y, str | Path) or hasattr(y, "convert")


def _is_list_of(X, kind):
    return isinstance(X, list | tuple) and len(X) > 0 and all(kind(x) for x in X)


def _of_pil(picture):
    if isinstance(picture, str | Path):
        from neurodecode.data.stimuli import load_pictures

        return load_pictures(Path("/"), [Path(picture).expanduser().absolute()])[0]
    return np.asarray(picture.convert("RGB"), np.uint8)


def _stacked(pictures):
    shapes = {p.shape for p in pictures}
    if len(shapes) > 1:
        raise ValueError(f"the pictures have {len(shapes)} sizes: scale them to one")
    return np.stack(pictures)
