"""The one error that a build reports to a person: a sentence that says what, where and what to do."""


class BuildError(Exception):
    pass
