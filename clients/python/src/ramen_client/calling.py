"""How the app's functions are called."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Awaitable, Callable, TypeVar

T = TypeVar("T")

CANCEL_TIMEOUT = 1.0
"""How long something that was cancelled may take to end, in s."""


async def invoke(function: Callable[..., Any], *args: Any) -> Any:
    """Awaits a coroutine function; calls a plain one in a thread, so that one that blocks holds up no heartbeat. C 4.7"""
    if inspect.iscoroutinefunction(function):
        return await function(*args)
    answer = await asyncio.to_thread(function, *args)
    return await answer if inspect.isawaitable(answer) else answer


async def within(awaitable: "Awaitable[T]", timeout: float) -> T:
    """The awaitable's result, or asyncio.TimeoutError after timeout s.

    asyncio.wait_for takes a cancellation for done where the result comes at the same moment (until Python 3.12), and waits without a
    bound for what it has cancelled.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait([task], timeout=timeout)
    except asyncio.CancelledError:
        await _cancel(task)
        raise
    if not done:
        await _cancel(task)
        raise asyncio.TimeoutError
    return task.result()


async def _cancel(task: "asyncio.Future[T]") -> None:
    task.add_done_callback(lambda t: t.cancelled() or t.exception())  # nobody else asks for it
    task.cancel()
    await asyncio.wait([task], timeout=CANCEL_TIMEOUT)
