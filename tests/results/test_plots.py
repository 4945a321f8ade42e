from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import optuna
import pytest
from optuna.distributions import CategoricalDistribution

from tune_sentiment.results import figures, plots
from tune_sentiment.results.comparable import Comparison
from tune_sentiment.search.records import Outcome

StudyOf = Callable[[Outcome], optuna.Study]


def test_importance_parallel_contour_and_slices_are_drawn(outcome: Outcome, study: optuna.Study) -> None:
    mattered = plots.what_mattered(outcome, study)
    titles = list(mattered.figures)
    assert titles[:2] == ["Importance", "Parallel coordinates"]
    assert titles[2].endswith(" together")
    assert sorted(titles[3:]) == sorted(f"{name} alone" for name in outcome.records[0].setting)
    assert mattered.sentences[0] == (
        "Compared are the best validation losses of 28 trials; 11 of them ended early or still run, "
        "and count with what they had reached."
    )
    assert "could not be drawn" not in " ".join(mattered.sentences)


def test_the_contour_is_of_the_two_most_important(outcome: Outcome, study: optuna.Study) -> None:
    mattered = plots.what_mattered(outcome, study)
    by_importance = mattered.figures["Importance"]["data"][0]["y"][::-1]
    assert f"{by_importance[0]} and {by_importance[1]} together" in mattered.figures
    assert next(title for title in mattered.figures if title.endswith("alone")) == f"{by_importance[0]} alone"


def test_too_few_trials_are_left_out_with_a_sentence(outcome_of: Callable[..., Outcome], study_of: StudyOf) -> None:
    few = outcome_of(5)
    mattered = plots.what_mattered(few, study_of(few))
    assert mattered.figures == {}
    assert "Too early to say" in mattered.sentences[0] and "8 are needed" in mattered.sentences[0]
    assert plots.what_mattered(few, None).figures == {}


def test_a_plot_that_raises_is_left_out_with_a_sentence(
    outcome: Outcome, study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no contour today")

    monkeypatch.setattr(plots.visualization, "plot_contour", broken)
    mattered = plots.what_mattered(outcome, study)
    assert any("together: could not be drawn (no contour today)." in sentence for sentence in mattered.sentences)
    assert "Importance" in mattered.figures and not any(title.endswith("together") for title in mattered.figures)


def test_thinning_is_said(outcome_of: Callable[..., Outcome], study_of: StudyOf) -> None:
    many = outcome_of(700)
    mattered = plots.what_mattered(many, study_of(many))
    assert "computed on 300 of them" in mattered.sentences[0] or "computed on 299 of them" in mattered.sentences[0]


def test_no_figure_brings_colours_of_its_own_for_paper_or_text(outcome: Outcome, study: optuna.Study) -> None:
    for figure in plots.what_mattered(outcome, study).figures.values():
        assert not {"template", "title", "plot_bgcolor", "width"} & set(figure["layout"])
        assert all("color" not in label.get("font", {}) for label in figure["layout"].get("annotations", []))


def test_tick_labels_do_not_overlap_and_whole_numbers_stay_whole(outcome: Outcome, study: optuna.Study) -> None:
    layout = plots.what_mattered(outcome, study).figures["Parallel coordinates"]["layout"]
    names = layout["xaxis"]["ticktext"]
    labels = [label for label in layout["annotations"] if names[label["x"]] == "n_layers"]
    assert sorted(label["text"] for label in labels) == ["1", "2", "3"]
    for place in range(len(names)):
        heights = sorted(label["y"] for label in layout["annotations"] if label["x"] == place)
        assert all(upper - lower > 0.05 for lower, upper in pairwise(heights))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0009, 0.0069, [0.001, 0.002, 0.005]),
        (40, 480, [50, 100, 200]),
        (0.0001, 0.01, [0.0001, 0.0003, 0.001, 0.003, 0.01]),
        (1e-5, 0.1, [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
    ],
)
def test_a_logarithmic_axis_has_few_round_ticks(low: float, high: float, ticks: list[float]) -> None:
    assert plots.log_ticks(low, high) == pytest.approx(ticks)


def test_categorical_hyperparameters_are_drawn_too() -> None:
    choices = CategoricalDistribution(["last", "mean", "max"])
    study = optuna.create_study()
    study.add_trials(
        optuna.trial.create_trial(
            value=0.4 + 0.01 * number,
            params={"pooling": choices.choices[number % 3], "bidirectional": number % 2 == 0},
            distributions={"pooling": choices, "bidirectional": CategoricalDistribution([False, True])},
        )
        for number in range(12)
    )
    compared = Comparison(study, 12, 12, 0, None)
    drawings = plots.drawings(compared, ["pooling", "bidirectional"])
    assert [len(draw()["data"]) > 0 for draw in drawings.values()] == [True] * 5


def test_a_notebook_gets_a_plotly_figure(outcome: Outcome) -> None:
    drawn = plots.drawn(figures.curves_figure(outcome))
    assert type(drawn).__name__ == "Figure"
    assert drawn.layout.xaxis.title.text == "step"


def test_a_cut_loss_is_said(outcome: Outcome, study: optuna.Study) -> None:
    records = (*outcome.records[:-1], replace(outcome.records[-1], best_val_loss=1e6))
    assert "are drawn as that." in plots.what_mattered(replace(outcome, records=records), study).sentences[0]
