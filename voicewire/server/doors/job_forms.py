"""What is sent to and from the doors to jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from voicewire.codecs.base import FileKind
from voicewire.server.doors.texts import Bitrate, Body, Label, Rate, Seed, Speed, Unit, whole_text
from voicewire.server.jobs.outward import URL_CHARS_MAX
from voicewire.server.jobs.records import ItemState, Job, Kind, State, Webhook
from voicewire.types import Offsets

BATCH_MAX = 1_000  # texts in one request
FORMAT = "the whole file is there when the job is done: its lengths are exact, of every kind"
WEBHOOK = "told when the job is over, signed by Standard Webhooks"

Text = Annotated[str, AfterValidator(whole_text)]
Name = Annotated[str, AfterValidator(whole_text), Field(max_length=200)]
Url = Annotated[str, Field(max_length=URL_CHARS_MAX, description=WEBHOOK)]

JOB: dict[str, Any] = {
    "job_id": "j_9mZ2cA0m0dQm1jwX",
    "kind": "speech",
    "state": "running",
    "seconds_done": 12.4,
    "seconds_total": 61.0,
    "items": {"queued": 0, "running": 1, "done": 0, "failed": 0, "cancelled": 0},
    "created": "2026-03-01T09:00:00Z",
    "started": "2026-03-01T09:00:01Z",
    "finished": None,
    "expires": "2026-03-08T09:00:00Z",
    "error": None,
    "audio": None,
    "words": None,
    "webhook": {"url": "https://example.org/spoken", "state": "waiting", "tries": 0, "status": None},
}


class Manner(Body):
    """How to speak. Everything may be left out."""

    voice: Annotated[Name, Field(description="id or friendly name; empty: the model's default")] = ""
    language: Annotated[Name, Field(description="BCP 47; picks a voice where none is named")] = ""
    speed: Speed = 1.0
    seed: Seed = None
    format: Annotated[FileKind, Field(description=FORMAT)] = FileKind.WAV
    rate: Rate = None
    bitrate: Bitrate = None
    offsets: Unit = Offsets.CODEPOINT
    webhook: Url = ""


class NewJob(Manner):
    """One text to be spoken without a listener."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Once upon a time.", "webhook": "https://example.org/spoken"}]}
    )

    text: Text


class BatchItem(Body):
    """One of many texts. What is left out or null is as for all."""

    text: Text
    name: Annotated[Label, Field(description="the caller's own, to know it by")] = ""
    voice: Name | None = None
    language: Name | None = None
    speed: Speed | None = None
    seed: Seed = None


class NewBatch(Manner):
    """Many texts, each of which becomes a file."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": [{"text": "One.", "name": "first"}, {"text": "Two.", "speed": 1.2}], "format": "wav"}
            ]
        }
    )

    items: Annotated[list[BatchItem], Field(min_length=1, max_length=BATCH_MAX)]
    model: Annotated[Name, Field(description="empty: the server's default")] = ""


class JobMade(BaseModel):
    """A job that was taken. `ws_url` speaks its text live; it is null for a batch.

    `webhook_secret` checks what the webhook tells. It stands here only, and is the same for every job with this URL.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": JOB["job_id"],
                    "ws_url": f"wss://speech.example.org/v1/jobs/{JOB['job_id']}/stream",
                    "est_sec": 61.0,
                    "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                }
            ]
        }
    )

    job_id: str
    ws_url: str | None
    est_sec: float
    webhook_secret: str | None


class Counts(BaseModel):
    """How many texts of a job are in which state."""

    queued: int
    running: int
    done: int
    failed: int
    cancelled: int


class Failure(BaseModel):
    """Why a text was not spoken; `code` is of the table of errors."""

    code: str
    message: str

    @classmethod
    def of(cls, code: str, reason: str) -> Failure | None:
        return cls(code=code, message=reason) if code else None


class WebhookInfo(BaseModel):
    """How the telling stands. `status` is what the receiver answered last, null where it did not."""

    url: str
    state: Literal["waiting", "due", "delivered", "given_up"]
    tries: int
    status: int | None

    @classmethod
    def of(cls, webhook: Webhook) -> WebhookInfo:
        return cls(url=webhook.url, state=webhook.state, tries=webhook.tries, status=webhook.status or None)


class JobInfo(BaseModel):
    """A job. `seconds_total` is an estimate until it is done; `error` is that of the first text that failed.

    A batch is `done` when nothing of it is waiting and at least one text was spoken. `audio` and `words` are addresses,
    of text 0; of a batch, each text has its own.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [JOB]})

    job_id: str
    kind: Kind
    state: State
    seconds_done: float
    seconds_total: float
    items: Counts
    created: datetime
    started: datetime | None
    finished: datetime | None
    expires: datetime
    error: Failure | None
    audio: str | None
    words: str | None
    webhook: WebhookInfo | None

    @classmethod
    def of(cls, job: Job) -> JobInfo:
        file = job.kind == "speech" and job.files > 0
        return cls(
            job_id=job.id,
            kind=job.kind,
            state=job.state,
            seconds_done=job.done_ms / 1000,
            seconds_total=job.total_ms / 1000,
            items=Counts.model_validate(job.counts),
            created=job.created,
            started=job.started,
            finished=job.finished,
            expires=job.expires,
            error=Failure.of(job.error, job.reason),
            audio=f"/v1/jobs/{job.id}/audio" if file else None,
            words=f"/v1/jobs/{job.id}/words" if file else None,
            webhook=WebhookInfo.of(job.webhook) if job.webhook else None,
        )


class ItemInfo(BaseModel):
    """One text of a job."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "item": 0,
                    "name": "first",
                    "state": "done",
                    "seconds_done": 0.8,
                    "seconds_total": 0.8,
                    "size_bytes": 38_444,
                    "error": None,
                    "audio": f"/v1/jobs/{JOB['job_id']}/audio?item=0",
                    "words": f"/v1/jobs/{JOB['job_id']}/words?item=0",
                }
            ]
        }
    )

    item: int
    name: str
    state: State
    seconds_done: float
    seconds_total: float
    size_bytes: int
    error: Failure | None
    audio: str | None
    words: str | None

    @classmethod
    def of(cls, job: str, item: ItemState) -> ItemInfo:
        total_ms = item.done_ms if item.state == "done" else max(item.done_ms, item.estimate_ms)
        return cls(
            item=item.number,
            name=item.name,
            state=item.state,
            seconds_done=item.done_ms / 1000,
            seconds_total=total_ms / 1000,
            size_bytes=item.size_bytes,
            error=Failure.of(item.error, item.reason),
            audio=f"/v1/jobs/{job}/audio?item={item.number}" if item.size_bytes else None,
            words=f"/v1/jobs/{job}/words?item={item.number}" if item.size_bytes else None,
        )
