"""What the server understands and answers: JSON in, JSON out, and a sentence for every refusal."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from tune_sentiment import __version__
from tune_sentiment.export.predict import Prediction

MAX_TEXTS = 1000
MAX_BODY_BYTES = 1_000_000
MAX_DISCARDED_BYTES = 20_000_000
"""Of a body that is too long, read and thrown away: a client that is cut off while it sends never hears why."""

EXAMPLE: dict[str, Any] = {"texts": ["A film I would see again.", "Two hours of my life, gone."]}


class Question(BaseModel):
    """The body of `POST /predict`."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": EXAMPLE})

    texts: Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS, description="Reviews, as they are.")]


class Answer(BaseModel):
    """What the model says of one text."""

    label: Literal["positive", "negative"]
    probability: Annotated[float, Field(description='Of "positive", 0 to 1.')]
    words: Annotated[int, Field(description="Words of the whole text.")]
    unknown_words: Annotated[int, Field(description="Of the words read, those that the model never met.")]
    cut: Annotated[int, Field(description="Words at the end that the model did not read.")]
    note: Annotated[str, Field(description="Not empty if the model had nothing to go by.")]


class Answers(BaseModel):
    """The answer to `POST /predict`, in the order of the texts."""

    predictions: list[Answer]


class Health(BaseModel):
    """The answer to `GET /healthz`."""

    status: Literal["ok"] = "ok"


class Refusal(BaseModel):
    """The answer to everything that cannot be done."""

    error: Annotated[str, Field(description="One sentence.")]


QUESTION_SCHEMA = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": Question.model_json_schema()}}}
}
"""For the OpenAPI page: the body is read by `question_in`, which FastAPI does not look into."""

REFUSALS: dict[int | str, dict[str, Any]] = {code: {"model": Refusal} for code in (413, 422)}


def web_app() -> FastAPI:
    """Return the application, still without its paths."""
    app = FastAPI(
        title="tune_sentiment",
        version=__version__,
        description="Tells whether reviews are positive or negative, and how sure it is.",
    )

    @app.exception_handler(StarletteHTTPException)
    async def refuse(request: Request, problem: StarletteHTTPException) -> JSONResponse:
        said = problem.detail
        if problem.status_code == 404:
            said = "there is nothing at this address: see /docs."
        elif problem.status_code == 405:
            said = f"{request.method} is not for this address: see /docs."
        return JSONResponse({"error": said}, problem.status_code, headers=problem.headers)

    return app


async def question_in(request: Request) -> list[str]:
    """Return the texts of a request; of its body no more than MAX_BODY_BYTES are kept.

    Raises:
        HTTPException: 413 if there is more, 422 if it is anything but `{"texts": [...]}` with 1 to MAX_TEXTS texts.
    """
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            body += chunk
        elif size > MAX_DISCARDED_BYTES:
            break
    if size > MAX_BODY_BYTES:
        raise HTTPException(413, f"a body may have at most {MAX_BODY_BYTES:,} bytes, got more: send fewer texts.")
    try:
        return Question.model_validate_json(bytes(body)).texts
    except ValidationError as problem:
        raise HTTPException(422, _sentence(problem)) from None


def answers(predictions: Iterable[Prediction]) -> JSONResponse:
    """Return predictions as the JSON of `Answers`."""
    said = []
    for prediction in predictions:
        fields = {field.name: getattr(prediction, field.name) for field in dataclasses.fields(prediction)}
        del fields["text"]
        said.append(fields)
    return JSONResponse({"predictions": said})


def _sentence(problem: ValidationError) -> str:
    first = problem.errors(include_url=False)[0]
    place = first["loc"]
    example = json.dumps({"texts": ["a review"]})
    match first["type"], place:
        case "json_invalid", _:
            return f"the body must be JSON ({first['ctx']['error']}): send {example}."
        case "missing", _:
            return f"the body must hold `texts`: send {example}."
        case "too_short", _:
            return f"`texts` must hold 1 to {MAX_TEXTS:,} texts, got none: send {example}."
        case "too_long", _:
            return f"`texts` must hold 1 to {MAX_TEXTS:,} texts, got more: send them in several requests."
        case "extra_forbidden", (name, *_):
            return f"the body must hold `texts` and nothing else, got `{str(name)[:40]}` too: leave it out."
        case _, ("texts", int(number), *_):
            return f"every text must be a string, got {type(first['input']).__name__} as number {number + 1}: quote it."
        case _, ("texts", *_):
            return f"`texts` must be a list of strings, got {type(first['input']).__name__}: send {example}."
    return f"the body must be an object, got {type(first['input']).__name__}: send {example}."
