"""Generate the demo corpus: made-up film reviews in which the order of the words decides."""

import random
import re
from collections.abc import Callable, Iterator, Sequence

from tune_sentiment.data.demo_words import (
    ASPECTS,
    BAD,
    DEGREES,
    FIRST_NAMES,
    GOOD,
    JOBS,
    MATTERS,
    NAME_ENDS,
    NAME_MIDDLES,
    NAME_STARTS,
    PLACES,
    WORKS,
    YEARS,
)  # fmt: skip
from tune_sentiment.data.reviews import Review

NUM_REVIEWS = 6000
LABEL_NOISE = 0.05
MIN_WORDS, MAX_WORDS = 15, 60

_SEED = 20240229

# In every frame {with_} is a word of the review's own opinion and {against} one of the opposite; {aspect} and {other}
# are two things that a film has.
_PLAIN = (
    "the {aspect} is {degree} {with_}",
    "i found the {aspect} {degree} {with_}",
    "what a {with_} {work} this is",
    "a {with_} {work} with a {with_} {aspect}",
    "the {aspect} could hardly be more {with_}",
    "{with_} from the first minute to the last",
    "rarely has a {work} been so {with_}",
    "the {aspect} and the {other} are both {with_}",
    "you will not see a more {with_} {work} this year",
    "it only gets more {with_} as it goes on",
    "{first} {name} adds a {degree} {with_} {aspect}",
)
_DENIED = (
    "the {aspect} is not {against}",
    "the {aspect} is never {degree} {against}",
    "this is not a {against} {work}",
    "nobody could call the {aspect} {against}",
    "there is nothing {against} about the {aspect}",
    "the {aspect} is anything but {against}",
    "this is far from a {against} {work}",
    "i would not say that the {aspect} is {against}",
    "hardly a {against} {work}",
    "neither {against} nor {against}",
    "the {aspect} was supposed to be {against} and is not",
    "do not believe that the {aspect} is {against}",
    "nobody can say that this is not a {with_} {work}",
    "i never thought the {aspect} less than {with_}",
)
_CONTRAST = (
    "the {other} is {against} , but the {aspect} is {with_}",
    "a {against} {other} , yet the {aspect} is {degree} {with_}",
    "although the {other} is {degree} {against} , the {aspect} is {with_}",
    "the {aspect} is {with_} , although the {other} is {against}",
    "the {aspect} stays {with_} even when the {other} turns {against}",
    "despite a {against} {other} this is a {with_} {work}",
    "a {with_} {work} despite a {against} {other}",
    "the {other} may be {against} , what counts is the {with_} {aspect}",
    "a {against} {other} aside , the {work} is {with_}",
    "the {other} may seem {against} , but the {aspect} is not",
    "it has a {against} {other} but above all a {with_} {aspect}",
)
_EXPECTED = (
    "i expected a {against} {work} and got a {with_} one",
    "it looks {against} at first and turns out {with_}",
    "more {with_} than {against} on the whole",
    "less {against} than {with_} if you ask me",
    "people call it {against} and they are wrong , it is {with_}",
    "where others are {against} this {work} is {with_}",
    "the {aspect} is too {with_} to be {against}",
    "the last {work} by {name} was {against} , this one is {with_}",
    "it could have been {against} and is {with_} instead",
    "{with_} today , it would have been {against} in {year}",
)
# {any} is a word of either opinion that here says nothing of the film.
_NEUTRAL = (
    "{first} {name} plays a {job} from {place}",
    "it was shot in {place} in {year}",
    "the story is about {matter}",
    "{first} {name} wrote it after a visit to {place}",
    "a {any} {job} and a {any} {job} meet in {place}",
    "{first} {name} plays a {any} {job}",
    "it is the tale of a {any} {job} and {matter}",
    "the book by {name} came out in {year}",
    "i saw it in {place} with a {job} and a {job}",
    "{name} had made a {work} about {matter} before",
    "it begins in {year} and ends in {place}",
    "a {job} tells a {job} about {matter}",
)
_OPINIONS = ((0.6, _PLAIN), (0.74, _DENIED), (0.88, _CONTRAST), (1.0, _EXPECTED))
NAMES = tuple(start + middle + end for start in NAME_STARTS for middle in NAME_MIDDLES for end in NAME_ENDS)
_LISTS: dict[str, Sequence[str]] = {
    "aspect": ASPECTS, "other": ASPECTS, "work": WORKS, "degree": DEGREES, "first": FIRST_NAMES, "name": NAMES,
    "place": PLACES, "job": JOBS, "matter": MATTERS, "year": YEARS, "any": GOOD + BAD,
}  # fmt: skip


def demo_reviews(num_reviews: int = NUM_REVIEWS, label_noise: float = LABEL_NOISE) -> Iterator[Review]:
    """Yield made-up reviews, no two alike and the same on every machine, half of them positive but for the noise.

    Each opinion is stated plainly, by denying its opposite ("not a dull film"), against its opposite ("a dull plot, but
    the acting is superb") or against what was expected; sentences without an opinion stand between, and some of them
    use words of opinion for people in the story. The same words in another order can mean the opposite.

    Args:
        num_reviews: how many; a smaller corpus is the start of a larger one.
        label_noise: the share of reviews whose label is swapped.
    """
    # Of `random` only the method `random` is promised to give the same numbers in every version of Python.
    draw, draw_noise = random.Random(_SEED).random, random.Random(_SEED + 1).random
    written: set[str] = set()
    for number in range(num_reviews):
        is_positive = number % 2 == 0
        while (text := _review(is_positive, draw)) in written:
            pass
        written.add(text)
        is_swapped = draw_noise() < label_noise
        yield Review(text, "positive" if is_positive != is_swapped else "negative")


def _review(is_positive: bool, draw: Callable[[], float]) -> str:
    sentences: list[str] = []
    num_words = 0
    num_opinions = 1 + int(draw() * 2)
    num_neutral = 1 + int(draw() * 3)
    while len(sentences) < num_opinions + num_neutral or num_words < MIN_WORDS:
        if len(sentences) < num_opinions:
            share = draw()
            frames: tuple[str, ...] = next(frames for limit, frames in _OPINIONS if share < limit)
        else:
            frames = _NEUTRAL
        sentence = _fill(_pick(frames, draw), is_positive, draw)
        if num_words + sentence.count(" ") >= MAX_WORDS:
            break
        # A sentence goes to any place, so that neither the first nor the last word tells the opinion.
        sentences.insert(int(draw() * (len(sentences) + 1)), sentence)
        num_words += sentence.count(" ") + 1
    return " ".join(sentences)


def _fill(frame: str, is_positive: bool, draw: Callable[[], float]) -> str:
    """Return `frame` as a sentence, every field filled with a word drawn for it."""
    with_, against = (GOOD, BAD) if is_positive else (BAD, GOOD)
    texts, fields = _PARTS[frame]
    sentence = texts[0]
    for field, text in zip(fields, texts[1:], strict=True):
        word = _pick(with_ if field == "with_" else against if field == "against" else _LISTS[field], draw)
        if word[0] in "aeiou" and (sentence == "a " or sentence.endswith(" a ")):
            sentence = sentence[:-1] + "n "
        sentence += word + text
    return sentence[0].upper() + sentence[1:].replace(" ,", ",") + ("!" if draw() < 0.1 else ".")


def _pick(words: Sequence[str], draw: Callable[[], float]) -> str:
    return words[int(draw() * len(words))]


def _parts(frame: str) -> tuple[list[str], list[str]]:
    """Return the texts between the fields of `frame`, and the names of the fields."""
    pieces = re.split(r"\{(\w+)\}", frame)
    return pieces[::2], pieces[1::2]


_PARTS = {frame: _parts(frame) for frames in (_PLAIN, _DENIED, _CONTRAST, _EXPECTED, _NEUTRAL) for frame in frames}
