import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from tests.export.made_up import SETTINGS, made_up_reviews
from tune_sentiment.config import TrainSettings
from tune_sentiment.data.vocabulary import Vocabulary, tokenize
from tune_sentiment.errors import BundleError, DataError, ResourceError, SettingsError
from tune_sentiment.export import predict as predicting
from tune_sentiment.export.bundle import read_bundle, write_bundle
from tune_sentiment.export.predict import Predictor
from tune_sentiment.training.model import build_model


def test_it_tells_praise_from_blame(predictor: Predictor) -> None:
    good, bad = predictor.predict(["The film is GREAT!", "a dull<br />story"])
    assert (good.label, good.text, good.words, good.unknown_words, good.cut) == (
        "positive",
        "The film is GREAT!",
        4,
        0,
        0,
    )
    assert good.probability > 0.8
    assert (bad.label, bad.words) == ("negative", 3)
    assert bad.probability < 0.2


def test_every_probability_is_the_one_that_the_model_gives_to_the_text_alone(predictor: Predictor) -> None:
    texts = [text for text, _ in made_up_reviews(200, seed=3)]
    model = predictor.bundle.build_model()
    expected = []
    for text in texts:
        token_ids = predictor.bundle.vocabulary.encode(tokenize(text)[: SETTINGS.seq_length])
        with torch.no_grad():
            expected.append(float(model(torch.from_numpy(token_ids)[None])[0]))
    for batch_size in (1, 7, 4096):
        answers = predictor.predict(texts, batch_size=batch_size)
        assert [answer.text for answer in answers] == texts
        assert [answer.probability for answer in answers] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"carry_hidden": True},
        {"bidirectional": True, "pooling": "mean", "n_layers": 2},
        {"pooling": "max"},
    ],
)
def test_answers_do_not_depend_on_their_neighbours_whatever_the_model(
    tmp_path: Path, vocabulary: Vocabulary, change: dict[str, Any]
) -> None:
    settings = TrainSettings(embedding_dim=6, hidden_dim=8, seq_length=12, **change)
    torch.manual_seed(0)
    write_bundle(
        tmp_path / "best",
        weights=build_model(settings, vocabulary.size).state_dict(),
        settings=settings,
        vocabulary=vocabulary,
        metrics={},
        provenance={},
    )
    predictor = Predictor.load(tmp_path / "best")
    texts = ["", "good", *(text for text, _ in made_up_reviews(30, seed=3))]
    together = [answer.probability for answer in predictor.predict(texts)]
    alone = [predictor.predict([text])[0].probability for text in texts]
    assert together == pytest.approx(alone, abs=1e-6)
    assert len(set(together)) > 10


def test_texts_of_one_batch_are_answered_in_few_runs_of_the_model(predictor: Predictor) -> None:
    runs: list[int] = []
    hook = predictor._model.register_forward_hook(lambda module, inputs, output: runs.append(len(output)))
    try:
        predictor.predict(["good " * (number % 12) for number in range(4000)])
    finally:
        hook.remove()
    assert sum(runs) == 4000
    # Every text padded to 11 words would be 7 runs of 6,400 words.
    assert len(runs) <= 5


@pytest.mark.parametrize("text", ["", "   \n", "!?...", "<br /><br />"])
def test_a_text_without_words_is_answered_and_marked(predictor: Predictor, text: str) -> None:
    answer, other = predictor.predict([text, "good"])
    assert (answer.note, answer.words, answer.unknown_words, answer.cut) == ("no words", 0, 0, 0)
    assert 0 < answer.probability < 1
    assert other.note == ""


def test_unknown_words_are_counted_and_a_text_of_nothing_else_is_marked(predictor: Predictor) -> None:
    some, none = predictor.predict(["a film by Kurosawa", "Rashomon, Kurosawa!"])
    assert (some.words, some.unknown_words, some.note) == (4, 2, "")
    assert (none.words, none.unknown_words, none.note) == (2, 2, "no known words")


def test_words_beyond_seq_length_are_counted_and_change_nothing(predictor: Predictor) -> None:
    start = "the film is " * 4
    whole, cut = predictor.predict([start, start + "awful awful Kurosawa"])
    assert (whole.words, whole.cut) == (12, 0)
    assert (cut.words, cut.cut, cut.unknown_words) == (15, 3, 0)
    assert cut.probability == pytest.approx(whole.probability, abs=1e-6)


def test_no_texts_have_no_answers(predictor: Predictor) -> None:
    assert predictor.predict([]) == []
    assert list(predictor.predict_stream(iter(()))) == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("good film", r"^texts must be a list of texts, got str: write predict\(\[text\]\)\.$"),
        (b"good film", "must be a list of texts, got bytes"),
        (None, "must be a list of texts, got NoneType"),
        (["good", 3], "^every text must be a str, got int as number 2: convert it first"),
        (["good", None], "got NoneType as number 2"),
        ([b"good"], "got bytes as number 1"),
        ([float("nan")], "got float as number 1"),
    ],
)
def test_anything_but_a_list_of_texts_is_refused(predictor: Predictor, texts: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predictor.predict(texts)


def test_a_stream_refuses_a_single_text_at_once(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="got str"):
        predictor.predict_stream("good film")
    with pytest.raises(SettingsError, match="`batch_size` must be >= 1, got 0"):
        predictor.predict_stream(["good film"], batch_size=0)


def test_a_stream_is_read_no_further_than_the_batch_that_is_answered(predictor: Predictor) -> None:
    read: list[int] = []

    def endless() -> Iterator[str]:
        while True:
            read.append(1)
            yield "good film"

    answers = predictor.predict_stream(endless(), batch_size=10)
    assert len(read) == 0
    assert next(answers).label == "positive"
    assert len(read) == 10
    for _ in range(10):
        next(answers)
    assert len(read) == 20


def test_long_texts_make_smaller_batches(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicting, "BATCH_CHARACTERS", 100)
    texts = iter(["good film " * 4] * 50)
    answers = predictor.predict_stream(texts)
    next(answers)
    assert len(list(texts)) == 47
    assert sum(1 for _ in answers) == 2


@effort(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["good", " ", "  ", "\n", "<br />", "<BR />", "x.y", "é", ","]), max_size=60))
def test_a_text_read_in_pieces_has_the_words_of_the_whole(predictor: Predictor, parts: list[str]) -> None:
    text = "".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predicting, "_PIECE_CHARACTERS", 7)
        read, total = predictor._words(text)
    assert (read, total) == (tokenize(text)[: SETTINGS.seq_length], len(tokenize(text)))


def test_a_text_of_5_million_words_takes_little_memory(bundle: Path) -> None:
    code = """
import sys
from tune_sentiment.export.predict import Predictor
predictor, text = Predictor.load(sys.argv[1]), "film " * 5_000_000
peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])  # KB, of this program alone
before = peak()
(answer,) = predictor.predict([text])
assert answer.words == 5_000_000 and answer.cut == 5_000_000 - 12
grown = peak() - before
sys.exit(0 if grown < 100_000 else f"grown by {grown} KB")
"""
    answer = subprocess.run([sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_an_explanation_is_what_leaving_each_word_out_changes(predictor: Predictor) -> None:
    effects = predictor.explain("The film is great, a Kurosawa")
    words = ["the", "film", "is", "great", "a", "kurosawa"]
    assert [effect.word for effect in effects] == words
    whole, *others = predictor.predict(
        [" ".join(words), *(" ".join(words[:place] + words[place + 1 :]) for place in range(len(words)))]
    )
    expected = [other.probability - whole.probability for other in others]
    assert [effect.change for effect in effects] == pytest.approx(expected, abs=1e-6)
    assert min(effects, key=lambda effect: effect.change).word == "great"


def test_an_explanation_names_the_word_of_blame_by_a_rise(predictor: Predictor) -> None:
    effects = predictor.explain("the film is awful")
    strongest = max(effects, key=lambda effect: abs(effect.change))
    assert strongest.word == "awful"
    assert strongest.change > 0


def test_only_the_words_that_are_read_are_explained(predictor: Predictor) -> None:
    effects = predictor.explain("good " * 13)
    assert [word for word, _ in effects] == ["good"] * 12
    assert len(predictor.explain("good")) == 1
    assert predictor.explain("...") == []


def test_what_cannot_be_explained_is_refused(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="must be a str, got list"):
        predictor.explain(["good film"])  # type: ignore[arg-type]
    monkeypatch.setattr(predicting, "EXPLAINED_WORDS", 3)
    with pytest.raises(DataError, match="may have at most 3 words, got 4: give a part of it"):
        predictor.explain("the film is good")


@pytest.mark.parametrize("device", ["tpu!", "meta", "", 3.5])
def test_an_unknown_device_is_refused(bundle: Path, device: Any) -> None:
    with pytest.raises(SettingsError, match="`device` must be cpu or cuda, got"):
        Predictor.load(bundle, device)


def test_a_gpu_that_is_not_there_is_refused(bundle: Path) -> None:
    with pytest.raises(ResourceError, match="must be a device of this machine, got 'cuda:99': use cpu"):
        Predictor.load(bundle, "cuda:99")


def test_a_model_that_overflows_is_refused_when_it_answers(bundle: Path) -> None:
    read = read_bundle(bundle)
    huge = {name: torch.full_like(weight, 3e38) for name, weight in read.weights.items()}
    huge["embedding.weight"][:, ::2] = -3e38  # finite, but its products with the next weights are +inf and -inf
    with pytest.raises(BundleError, match=r"must give finite probabilities, .*best does not: export another trial"):
        Predictor(replace(read, weights=huge)).predict(["good film"])


def test_predicting_is_light_and_leaves_the_threads_and_random_numbers_alone(bundle: Path) -> None:
    code = """
import sys
from tune_sentiment.export.predict import Predictor
import torch
torch.set_num_threads(2)
torch.manual_seed(0)
predictor = Predictor.load(sys.argv[1])
predictor.predict(["good film"])
assert torch.get_num_threads() == 2
assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(0)))
heavy = {"ray", "pandas", "pyarrow", "sklearn", "plotly", "optuna", "scipy"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    answer = subprocess.run([sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_predictions_are_plain_values(predictor: Predictor) -> None:
    (answer,) = predictor.predict(np.array(["good film"]).tolist())
    assert (type(answer.probability), type(answer.unknown_words), type(answer.cut)) == (float, int, int)
    assert type(predictor.explain("good film")[0].change) is float
