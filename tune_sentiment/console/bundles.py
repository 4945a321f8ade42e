"""What the commands over exported models print."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from tune_sentiment.console.output import facts_table, print_json, stdout
from tune_sentiment.errors import DataError

if TYPE_CHECKING:
    from tune_sentiment.export.compare import Comparison
    from tune_sentiment.export.predict import Prediction, Predictor
    from tune_sentiment.export.scoring import Scores


def scores(found: "Scores", split: str, *, as_json: bool) -> None:
    """Print the scores of a bundle."""
    if as_json:
        print_json({"split": split, **asdict(found)})
        return
    facts = facts_table()
    facts.add_row("reviews", f"{found.reviews:,} ({split})")
    facts.add_row("loss", f"{found.loss:.4f}")
    interval = f"{100 * found.accuracy_low:.1f} to {100 * found.accuracy_high:.1f} %"
    facts.add_row("accuracy", f"{100 * found.accuracy:.2f} %  (95 % interval {interval})")
    for name in ("precision", "recall", "f1", "auc"):
        value = getattr(found, name)
        facts.add_row(name, "undefined" if value is None else f"{value:.4f}")
    facts.add_row("calibration error", f"{found.calibration_error:.4f}")
    confusion = Table(title="confusion", box=None, title_justify="left", title_style="bold")
    for heading in ("", "said positive", "said negative"):
        confusion.add_column(heading, justify="right")
    confusion.add_row("is positive", f"{found.true_positives:,}", f"{found.false_negatives:,}")
    confusion.add_row("is negative", f"{found.false_positives:,}", f"{found.true_negatives:,}")
    calibration = Table(title="calibration", box=None, title_justify="left", title_style="bold")
    for heading in ("probability", "reviews", "said", "true"):
        calibration.add_column(heading, justify="right")
    for one in found.bins:
        if one.reviews:
            said, true = f"{one.mean_probability:.3f}", f"{one.share_positive:.3f}"
            calibration.add_row(f"{one.low:.1f} to {one.high:.1f}", f"{one.reviews:,}", said, true)
    for part in (facts, confusion, calibration):
        stdout().print(part)


def comparison(found: "Comparison", split: str, *, as_json: bool) -> None:
    """Print how bundles differ on the same reviews, and what of it is more than luck."""
    if as_json:
        print_json({"split": split, **asdict(found)})
        return
    table = Table(title=f"{found.reviews:,} reviews ({split})", box=None, title_justify="left", title_style="bold")
    table.add_column("bundle", overflow="fold")
    for heading in ("accuracy", "95 % interval", "loss"):
        table.add_column(heading, justify="right")
    for name, one in found.scores.items():
        interval = f"{100 * one.accuracy_low:.1f} to {100 * one.accuracy_high:.1f} %"
        table.add_row(escape(name), f"{100 * one.accuracy:.2f} %", interval, f"{one.loss:.4f}")
    stdout().print(table)
    for pair in found.pairs:
        stdout().print(f"\n{escape(pair.sentence)}")
        facts = facts_table()
        facts.add_row("only the first is right on", f"{pair.only_first_right:,} reviews")
        facts.add_row("only the second", f"{pair.only_second_right:,}")
        corrected = f"; {pair.adjusted_p_value:.3g} for {len(found.pairs)} pairs (Holm)" if len(found.pairs) > 1 else ""
        facts.add_row("McNemar, exact", f"p = {pair.p_value:.3g}{corrected}")
        stdout().print(facts)
    stdout().print("\nThis is about these trained models: another seed of the same setting gives another model.")


def serving(address: str) -> None:
    """Print where a server answers, on stdout, for programs that wait for it."""
    sys.stdout.write(f"serving at {address}\n")
    sys.stdout.flush()
    sys.stderr.write(f"OpenAPI page: {address}/docs; Ctrl-C stops the server\n")


def predict(bundle: str, texts: Sequence[str], file: str | None, *, explain: bool, as_json: bool) -> None:
    """Print what a bundle says of texts, as they come."""
    from tune_sentiment import api

    predictor = api.load(bundle)
    source: Iterable[str] = texts if file is None else _lines(file)
    for prediction in predictor.predict_stream(source):
        if as_json:
            answer = asdict(prediction)
            if explain:
                answer["effects"] = [effect._asdict() for effect in predictor.explain(prediction.text)]
            print_json(answer)
        else:
            _print_prediction(prediction, predictor if explain else None)
        sys.stdout.flush()


def _print_prediction(prediction: "Prediction", explainer: "Predictor | None") -> None:
    notes: list[str] = [prediction.note] if prediction.note else []
    if prediction.unknown_words and not prediction.note:
        notes.append(f"{prediction.unknown_words} of {prediction.words} words unknown")
    if prediction.cut:
        notes.append(f"{prediction.cut} words past the end not read")
    # One line without control characters, whatever the text holds.
    text = " ".join("".join(one if one.isprintable() else " " for one in prediction.text).split())
    text = text if len(text) <= 70 else text[:67] + "..."
    note = f"  ({'; '.join(notes)})" if notes else ""
    sys.stdout.write(f"{prediction.label:8}  {prediction.probability:.4f}  {text}{note}\n")
    if explainer is not None and prediction.words:
        for effect in explainer.explain(prediction.text):
            sys.stdout.write(f"{'':10}{-effect.change:+.4f}  {effect.word}\n")


def _lines(file: str) -> Iterator[str]:
    """Yield the lines of a file or of stdin without their ends."""
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as opened:
            for number, line in enumerate(opened):
                text = line.decode("utf-8-sig" if number == 0 else "utf-8", errors="replace")
                yield text.rstrip("\r\n")
    except OSError as problem:
        raise DataError(f"--file must be readable: {file} is not ({problem.strerror}): check the path.") from None
