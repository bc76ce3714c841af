"""The admin routes that move the pointer: swap to a profile, read everything again, go back."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.admin_body import only_fields, read_content
from gateway.relay.fields import wrong
from gateway.runtime.controller import Controller
from gateway.runtime.swap import swap_data

BODY_LIMIT_BYTES: Final = 64 << 10


class Swaps:
    """Each route answers when the pointer has moved. 409 ``hot_swap_disabled`` where hot-swap is off, 422 ``config_invalid`` with
    every problem where the files cannot be used; the old generation serves on in both."""

    def __init__(self, *, controller: Controller) -> None:
        self._controller = controller

    async def swap(self, request: Request) -> Response:
        """``{"profile": "coding"}``, or ``null`` for none. It is the active one from now on, after a restart too."""
        content = only_fields(await read_content(request, limit_bytes=BODY_LIMIT_BYTES), known=("profile",))
        profile = content.get("profile")
        if "profile" not in content or not (profile is None or (isinstance(profile, str) and profile)):
            raise wrong("profile", found=profile, allowed="the name of a profile, or null for none")
        return JSONResponse(swap_data(await self._controller.swap(profile)))

    async def reload(self, request: Request) -> Response:
        only_fields(await read_content(request, limit_bytes=BODY_LIMIT_BYTES), known=())
        return JSONResponse(swap_data(await self._controller.reload()))

    async def rollback(self, request: Request) -> Response:
        """Back to the generation before this one."""
        only_fields(await read_content(request, limit_bytes=BODY_LIMIT_BYTES), known=())
        return JSONResponse(swap_data(await self._controller.rollback()))
