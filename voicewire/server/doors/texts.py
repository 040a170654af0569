"""Forms of what callers may send, shared by all doors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from voicewire.types import Offsets

T = TypeVar("T")
YEARS = (2, 9_000)
_SEED = (
    "the same seed gives the same audio, where the model draws its noise from it, as kokoro does; espeak is a little "
    "different each time, whatever the seed"
)


def whole_characters(text: str) -> str:
    """Return `text`; raises `ValueError` for halves of characters, which JSON may hold and nobody can pronounce."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half of a character stands alone") from None
    return text


def whole_text(text: str) -> str:
    """Return `text`; raises `ValueError` for what no database keeps: NUL, and halves of characters."""
    if "\0" in text:
        raise ValueError("it has a NUL inside")
    return whole_characters(text)


Speed = Annotated[float, Field(ge=0.5, le=2.0, allow_inf_nan=False, strict=True)]
Seed = Annotated[int | None, Field(ge=0, lt=2**32, strict=True, description=_SEED)]
Rate = Annotated[int | None, Field(ge=8_000, le=48_000, strict=True, description="Hz; the engine's own if left out")]
Bitrate = Annotated[int | None, Field(ge=6_000, le=320_000, strict=True, description="bit/s, for mp3 and opus")]
Unit = Annotated[Offsets, Field(description="the unit of positions in the words")]
Label = Annotated[str, AfterValidator(whole_text), Field(max_length=200)]
Note = Annotated[str, AfterValidator(whole_text), Field(max_length=1_000)]


def on_the_calendar(moment: datetime) -> datetime:
    """Return `moment`; raises `ValueError` for one that falls off the calendar in another time zone."""
    if not YEARS[0] <= moment.year <= YEARS[1]:
        raise ValueError("it is too far away")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(on_the_calendar)]


class Body(BaseModel):
    """What a caller sends; a field that we do not know is a mistake that is said."""

    model_config = ConfigDict(extra="forbid")


class Items(BaseModel, Generic[T]):
    """One page of a list. `next` is the cursor of the following page, null on the last."""

    items: list[T]
    next: str | None = None

    @classmethod
    def of(cls, items: list[T], limit: int, cursor: str) -> Items[T]:
        """Return a page of at most `limit`; `cursor` is that of its last item."""
        return cls(items=items, next=cursor if items and len(items) == limit else None)
