"""Errors that a user can fix, as opposed to bugs."""


class UserError(Exception):
    """An error with a message of one line; a program prints the line and exits with status 2."""


class InUse(UserError):
    """An error: another process works on the run."""
