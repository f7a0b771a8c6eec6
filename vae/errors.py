"""Mistakes that a user can mend, as opposed to bugs."""


class UserError(Exception):
    """One line for the user; a program that meets it prints that line and exits with status 2."""


class InUse(UserError):
    """Another process works on the run."""
