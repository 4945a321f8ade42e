"""The exceptions that a user can cause, each a sentence of three parts: rule, value, remedy."""


class TuneSentimentError(Exception):
    """The root of everything that a user's input, machine or interruption can cause.

    Its text is one line made of the rule that was broken, the value that broke it and what to do:
    ``"`clip` must be > 0, got clip=-1 in my.yaml: give a positive number."``
    """

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback, which says nothing about a mistake of the user's."""
        return [f"{type(self).__name__}: {self}"]


class SettingsError(TuneSentimentError):
    """A setting, a search space or a combination of options is wrong."""


class DataError(TuneSentimentError):
    """A source of reviews is missing, unreadable, or does not hold labelled reviews."""


class ResourceError(TuneSentimentError):
    """The CPUs, GPUs or memory asked for are not there."""


class StudyError(TuneSentimentError):
    """A search's folder is missing, taken, damaged, or does not fit what is asked of it."""


class BundleError(TuneSentimentError):
    """An exported bundle is missing, damaged, or from a newer version."""


class NothingUsableError(TuneSentimentError):
    """A search ended without one trial that could be exported (exit code 1)."""


class DivergedError(TuneSentimentError):
    """A training loss stopped being finite."""


class InterruptedSearch(TuneSentimentError):  # noqa: N818 - not an error, but what the user asked for
    """The user stopped a search; everything it had is kept."""

    def __init__(self, resume_command: str) -> None:
        """Take the command that continues the search."""
        super().__init__(f"interrupted, and all of it kept: continue with: {resume_command}")
        self.resume_command = resume_command
