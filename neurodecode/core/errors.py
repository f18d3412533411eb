"""The mistakes the kernel can name: what came, what was expected, what to do."""


class UserError(Exception):
    """A mistake the user can mend: shown as one message, without a traceback."""


class ConfigError(UserError, ValueError):
    """A key that nobody knows, a value of the wrong type or out of range."""


class SealedError(UserError, PermissionError):
    """A stage asked for test rows, or for a file, that it has no right to see."""


class DamagedArtifact(UserError):
    """A stored file no longer has the bytes it was written with.

    Parameters
    ----------
    artifact : neurodecode.core.store.Artifact
        The artifact that holds the file.
    name : str
        The damaged file, relative to the artifact's folder.
    """

    def __init__(self, artifact, name):
        super().__init__(
            f"{artifact.folder / name} is damaged (its bytes are not those written): running "
            "the experiment again computes it anew"
        )
        self.artifact = artifact
        self.name = name

    def __reduce__(self):
        """Made anew from the same two in another process."""
        return type(self), (self.artifact, self.name)
