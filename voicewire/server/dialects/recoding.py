"""Files that vendors have and we have not, made of one of ours while that is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable


async def recoded(
    parts: AsyncGenerator[bytes, None], head: bytes = b"", recode: Callable[[bytes], bytes] = bytes
) -> AsyncGenerator[bytes, None]:
    """Yield `parts` as `recode` makes them, the first behind `head`, and close them at the end."""
    try:
        async for part in parts:
            yield head + recode(part)
            head = b""
    finally:
        await parts.aclose()
