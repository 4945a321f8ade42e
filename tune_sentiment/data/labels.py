"""Tell positive from negative in however a source spells it: words, numbers or stars."""

import re

from tune_sentiment.data.reviews import counted, listed
from tune_sentiment.errors import DataError

POSITIVE, NEGATIVE, NEUTRAL = 1, 0, -1

MAX_SPELLINGS = 1000
"""With more different labels than this, the labels are no labels."""

_SPELLINGS = {
    **dict.fromkeys(("pos", "positive", "true", "yes", "1", "1.0", "+1"), POSITIVE),
    **dict.fromkeys(("neg", "negative", "false", "no", "0", "0.0"), NEGATIVE),
}
_STARS = re.compile(r"(\d+(?:\.\d+)?) ?-?stars?")
_NO_LABEL = ("", "nan", "none", "null")
_REMEDY = 'write "positive" and "negative", 1 and 0, or stars from 1 to 5 or 1 to 10.'


def classify(counts: dict[str, int], place: str) -> tuple[dict[str, int], list[str]]:
    """Return what each label of `counts` means (1 positive, 0 negative, -1 neutral) and the problems found.

    Args:
        counts: how many reviews carry each label, as spelled in the source; "" is no label.
        place: the source, for messages.

    Raises:
        DataError: if a review has no label, a label is unknown, or the labels could mean two things.
    """
    plain = {label: _plain(label) for label in counts}
    if unlabelled := sum(counts[label] for label in counts if plain[label] in _NO_LABEL):
        raise DataError(
            f"every review must have a label: {unlabelled:,} of {sum(counts.values()):,} in {place} have none: "
            "label or remove them."
        )
    if all(spelling in _SPELLINGS for spelling in plain.values()):
        return {label: _SPELLINGS[plain[label]] for label in counts}, []
    try:
        numbers = {label: float(plain[label]) for label in counts}
    except ValueError:
        unknown = [label for label in counts if plain[label] not in _SPELLINGS]
        raise DataError(f"labels must be known: {listed(unknown)} in {place}: {_REMEDY}") from None
    return _classify_numbers(numbers, counts, place)


def _plain(label: str) -> str:
    """Return a label without quotes and case, and stars as their number: "4 stars" and "★★★★☆" are "4"."""
    text = label.strip().strip("\"'").strip().lower()
    if text.startswith("★") and not text.strip("★☆"):
        return str(text.count("★"))
    return _STARS.sub(r"\1", text)


def _classify_numbers(
    numbers: dict[str, float], counts: dict[str, int], place: str
) -> tuple[dict[str, int], list[str]]:
    values = set(numbers.values())
    if values <= {-1, 1} or values <= {0, 1}:
        return {label: POSITIVE if number > 0 else NEGATIVE for label, number in numbers.items()}, []
    low, high = min(values), max(values)
    if not 1 <= low <= high <= 10 or high < 4:
        raise DataError(
            "labels that are numbers must be 0 and 1, -1 and 1, or stars from 1 to 5 or 1 to 10: "
            f"{listed(sorted(counts, key=numbers.__getitem__))} in {place} could mean several things: {_REMEDY}"
        )
    # Of ten stars Maas et al. 2011 leave out 5 and 6 too.
    bad, good = (2, 4) if high <= 5 else (4, 7)
    meaning = {
        label: NEGATIVE if number <= bad else POSITIVE if number >= good else NEUTRAL
        for label, number in numbers.items()
    }
    neutral = sum(counts[label] for label, sense in meaning.items() if sense == NEUTRAL)
    problem = f"Dropped {counted(neutral)} as neutral: more than {bad} and fewer than {good} stars."
    return meaning, [problem] if neutral else []
