"""Describe a bundle to a stranger: what the model is, where it comes from, how good it is, how to use it."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from tune_sentiment.config import TrainSettings
from tune_sentiment.export.plain import one_line
from tune_sentiment.export.scoring import wilson_interval
from tune_sentiment.export.usage import usage


def model_card(
    settings: TrainSettings, metrics: Mapping[str, Any], provenance: Mapping[str, Any], *, onnx: bool = False
) -> str:
    """Return a README.md, in Markdown, that says what is known of a model and nothing that is not.

    metrics: "validation" and "test", each a mapping with any of "loss", "accuracy" (0 to 1), "reviews", "f1", "auc",
        "calibration_error"; other numbers are listed as they are.
    provenance: any of "data" (source, name, generated, fingerprint, reviews: {train, validation, test}), "vocabulary"
        (words), "search" (name, trials, seconds, space, seed, command), "run" (the one that left these weights: seed,
        best_step), "winner" and "course" (the fields of `ConfirmedSetting`), "versions", "created".
    Both hold plain JSON values; what is missing or None is left out. onnx: whether the bundle holds model.onnx.
    """
    data = _mapping(provenance, "data")
    generated = data.get("generated") is True
    sections = [
        ("", _what(settings, provenance)),
        ("Figures", _figures(metrics, provenance)),
        ("Compared with the course's setting", _confirmation(provenance)),
        ("Data", _data(provenance, generated)),
        ("How it was found", _search(provenance)),
        ("Settings", _settings(settings)),
        ("Limits", _limits(settings, generated)),
        ("Use", usage(onnx=onnx, seq_length=settings.seq_length)),
        ("Licence", _licence(generated)),
        ("Made with", _table(("what", "version"), sorted(_mapping(provenance, "versions").items()))),
    ]
    body = [f"## {title}\n\n{text}" if title else text for title, text in sections if text]
    return "# Sentiment of reviews: a tuned LSTM\n\n" + "\n\n".join(body) + "\n"


def _what(settings: TrainSettings, provenance: Mapping[str, Any]) -> str:
    directions = "read both ways" if settings.bidirectional else "read from the start"
    layers = "1 layer" if settings.n_layers == 1 else f"{settings.n_layers} layers"
    origin = "found and trained" if _mapping(provenance, "search") else "trained"
    text = (
        "This model reads a review in plain text and gives the probability that it is positive. It is an LSTM "
        f"({layers}, hidden_dim {settings.hidden_dim}, {directions}) over word vectors (embedding_dim "
        f"{settings.embedding_dim}), {origin} by `tune_sentiment` from labelled reviews alone."
    )
    created = provenance.get("created")
    return f"{text}\n\nMade on {_code(created)}." if created else text


def _figures(metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    reviews = _mapping(_mapping(provenance, "data"), "reviews")
    rows = []
    for split in ("validation", "test"):
        part = _mapping(metrics, split)
        if part:
            counted = part.get("reviews", reviews.get(split))
            accuracy = part.get("accuracy")
            rows.append(
                (
                    split,
                    _count(counted),
                    _number(part.get("loss")),
                    _percent(accuracy),
                    _interval(accuracy, counted),
                    _number(part.get("f1"), 3),
                    _number(part.get("auc"), 3),
                    _number(part.get("calibration_error"), 3),
                )
            )
    names = ("split", "reviews", "loss", "accuracy", "95 % interval", "F1", "ROC AUC", "calibration error")
    table = _table(*_without_empty_columns(names, rows))
    notes = []
    if _mapping(metrics, "validation"):
        notes.append("The validation split chose this model, so its figures flatter it.")
    if _mapping(metrics, "test") and _mapping(provenance, "winner"):
        notes.append("The test split was not looked at until the choice was made.")
    if table and any(row[4] for row in rows):
        notes.append(
            "The interval (Wilson) is what other reviews of the same kind could have shown; it says nothing of "
            "reviews of another kind."
        )
    others = [(name, _plain_number(value)) for name, value in metrics.items() if _is_number(value)]
    return "\n\n".join(part for part in (table, " ".join(notes), _table(("figure", "value"), others)) if part)


def _confirmation(provenance: Mapping[str, Any]) -> str:
    settings = [("this model's setting", _mapping(provenance, "winner")), ("course", _mapping(provenance, "course"))]
    rows = []
    for name, confirmed in settings:
        if confirmed:
            losses = _numbers(confirmed.get("val_losses"))
            accuracies = _numbers(confirmed.get("test_accuracies"))
            trial = confirmed.get("trial")
            rows.append(
                (
                    name if trial is None else f"{name} (trial {trial})",
                    str(len(losses)) if losses else "",
                    _spread(losses),
                    _spread([100 * share for share in accuracies], " %", 2),
                    _number(confirmed.get("search_val_loss")),
                )
            )
    names = ("setting", "seeds", "validation loss", "test accuracy", "loss in the search")
    table = _table(*_without_empty_columns(names, rows))
    if not table:
        return ""
    return (
        "Each setting was trained again in full on fresh seeds, because one seed's luck can be larger than the "
        "difference between two settings. Mean ± standard deviation over the seeds.\n\n" + table
    )


def _data(provenance: Mapping[str, Any], generated: bool) -> str:
    data, vocabulary = _mapping(provenance, "data"), _mapping(provenance, "vocabulary")
    reviews = _mapping(data, "reviews")
    counts = [(_count(reviews.get(name)), name) for name in ("train", "validation", "test")]
    split = ", ".join(f"{count} {name}" for count, name in counts if count)
    rows = [
        ("name", _code(data.get("name")) + (" (generated by a program, not written by people)" if generated else "")),
        ("source", _code(data.get("source"))),
        ("reviews", split),
        ("words in the vocabulary", _count(vocabulary.get("words"))),
        ("fingerprint (SHA-256 of the encoded reviews)", _code(data.get("fingerprint"))),
    ]
    return _table(("", ""), [(name, value) for name, value in rows if value])


def _search(provenance: Mapping[str, Any]) -> str:
    search, run = _mapping(provenance, "search"), _mapping(provenance, "run")
    rows = [
        ("name", _code(search.get("name"))),
        ("trials", _count(search.get("trials"))),
        ("time", _duration(search.get("seconds"))),
        ("seed", _plain_number(search.get("seed"))),
        ("command", _code(search.get("command"))),
        ("seed of the run that left these weights", _plain_number(run.get("seed"))),
        ("its best step", _count(run.get("best_step"))),
    ]
    space = search.get("space")
    if isinstance(space, Mapping):
        rows += [(f"space: {one_line(str(name), 60)}", _code(_flat(value))) for name, value in space.items()]
    elif space:
        rows.append(("space", _code(space)))
    return _table(("", ""), [(name, value) for name, value in rows if value])


def _settings(settings: TrainSettings) -> str:
    course = TrainSettings().model_dump()
    rows = [(name, value, course[name]) for name, value in settings.model_dump().items()]
    return _table(("hyperparameter", "this model", "the course"), rows)


def _limits(settings: TrainSettings, generated: bool) -> str:
    limits = [
        "Two answers only: there is no neutral, and a text that is no review gets an answer all the same.",
        "It knows the language, the subjects and the habits of the reviews it was trained on; elsewhere, measure "
        "first with `evaluate`.",
        f"It reads the first {settings.seq_length:,} words of a text. What follows is cut off, and `cut` says how many "
        "words that was.",
        "Words that it never met in training are all the same to it; `unknown_words` counts them. A text of nothing "
        "else, or of no words at all, is answered blindly and marked in `note`.",
        "Its probabilities can be surer than its accuracy warrants: look at the calibration error before you rely on "
        "them.",
        "It repeats whatever prejudice the reviews hold. It is not made to judge people.",
    ]
    if generated:
        limits.insert(0, "It was trained on generated text, to show how the search works: not for real reviews.")
    return "\n".join(f"- {limit}" for limit in limits)


def _licence(generated: bool) -> str:
    if generated:
        return "The code that made this model, and the generated reviews it learnt from, are under the MIT licence."
    return (
        "The code that made this model is under the MIT licence. The reviews it learnt from are not part of that: they "
        "keep the terms of whoever owns them, and whoever hands this model on must see that those terms allow it."
    )


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(names) + " |", "|" + "---|" * len(names), *lines])


def _without_empty_columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    kept = [column for column in range(len(names)) if any(row[column] for row in rows)]
    return [names[column] for column in kept], [[row[column] for column in kept] for row in rows]


def _cell(value: Any) -> str:
    text = one_line(str(value), 500)
    if not (text.startswith("`") and text.count("`") == 2):
        text = text.replace("`", "'").replace("<", "&lt;")
    return text.replace("|", "\\|")  # in a code span too, a bar would end the cell


def _code(value: Any) -> str:
    text = one_line(str(value), 400).replace("`", "'") if value not in (None, "") else ""
    return f"`{text}`" if text else ""


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_flat(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return " / ".join(_flat(item) for item in value)
    return str(value)


def _mapping(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    # NaN, infinities and integers beyond all floats have no place in a table.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values if _is_number(value)] if isinstance(values, list | tuple) else []


def _number(value: Any, digits: int = 4) -> str:
    return f"{value:.{digits}f}" if _is_number(value) else ""


def _plain_number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value) if _is_number(value) else ""


def _count(value: Any) -> str:
    return f"{value:,}" if _is_number(value) else ""


def _percent(share: Any) -> str:
    return f"{100 * share:.2f} %" if _is_number(share) else ""


def _interval(share: Any, reviews: Any) -> str:
    if not (_is_number(share) and _is_number(reviews) and 0 <= share <= 1 and reviews > 0):
        return ""
    low, high = wilson_interval(share * reviews, reviews)
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def _spread(values: Sequence[float], unit: str = "", digits: int = 4) -> str:
    if not values:
        return ""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}{unit}"


def _duration(seconds: Any) -> str:
    if not _is_number(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
