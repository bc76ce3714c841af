"""The composition root: the one place where concrete classes meet, for a command that looks and for the gateway that serves."""

from collections.abc import Callable

from gateway.compose.announcements import Announcement, Note, Pulling, Ready
from gateway.compose.workspace import Options, Survey, Workspace

__all__ = ["Announcement", "Note", "Options", "Pulling", "Ready", "Survey", "Workspace", "serve"]


def serve(options: Options, *, announce: Callable[[Announcement], None]) -> int:
    """Run the gateway until it is told to stop; the exit code. Raises ``RolegateError`` when it cannot start."""
    # The server's packages are imported by the command that serves, not by those that look.
    from gateway.compose import serving

    return serving.serve(options, announce=announce)
