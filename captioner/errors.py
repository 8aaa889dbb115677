"""The one error tree: what went wrong, what to do next, and the exit status that says so."""


class CaptionerError(Exception):
    """An error that a user can cause and mend. The command line prints it as two lines, without a traceback.

    The first one ends in the class in brackets, which is a heading of docs/error-reference.md.

    ``problem`` says what is wrong, ``remedy`` what to do about it; each is one line.
    """

    exit_status = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}\n{remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class ConfigError(CaptionerError):
    """The configuration cannot be used. ``problem`` holds a line for each mistake, all found at once."""

    exit_status = 2


class UsageError(CaptionerError):
    """The command line asks for something that does not exist or does not go together."""

    exit_status = 2


class DatasetError(CaptionerError):
    """Pictures or captions are missing, unreadable or inconsistent."""


class DownloadError(CaptionerError):
    """A file cannot be fetched, is not the one expected, or an archive is damaged or not safe to unpack."""


class ImageError(CaptionerError):
    """One picture cannot be read. Commands over many pictures list it and go on."""


class FeatureError(CaptionerError):
    """A feature store belongs to another encoder, is damaged, or lacks a picture."""


class ModelError(CaptionerError):
    """A network cannot be built as asked, or weights do not fit it."""


class UnknownModelError(ModelError):
    """There is no backbone, or no stage of it, of the name that a setting gives."""

    exit_status = 2


class CheckpointError(CaptionerError):
    """A checkpoint is missing, incomplete, damaged or of another version."""


class StorageError(CaptionerError):
    """Writing failed: no space, or no permission. What stood there before still stands."""


class TrainingError(CaptionerError):
    """Training cannot go on: the loss is no number any more, or memory does not suffice. What was saved stands."""


class JobError(CaptionerError):
    """Of several processes that work together, another one has died."""


class Interrupted(CaptionerError):
    """The user pressed Ctrl-C. Work done so far is kept; ``remedy`` says how to go on."""

    exit_status = 130


def nearest(name: str, known: "list[str]") -> str:
    """``", did you mean 'x'?"`` for the known name closest to ``name``, or an empty string."""
    import difflib

    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.6)
    return f", did you mean '{lower[close[0]]}'?" if close else ""
