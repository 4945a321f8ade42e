"""What a search found, as one object to ask and to look at: the winner, every trial, figures, the model."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tune_sentiment.errors import BundleError
from tune_sentiment.search.records import ConfirmedSetting, Outcome

if TYPE_CHECKING:
    import optuna
    import pandas as pd

    from tune_sentiment.export.predict import Predictor
    from tune_sentiment.results.plots import Drawing


@dataclass(frozen=True)
class Best:
    """The winner's setting and figures: means over its seeds, and spreads (None of a single seed)."""

    trial: int
    setting: dict[str, Any]
    confirmed: bool
    """Whether it won on fresh seeds; if not, it led in the search, on one seed, which may be luck."""
    seeds: int
    val_loss: float
    val_loss_spread: float | None
    test_loss: float | None
    test_accuracy: float | None
    """0 to 1; None if the test split was not scored."""
    test_accuracy_spread: float | None
    exported_test_accuracy: float | None
    """Of the one model in the bundle."""


class SearchResult:
    """What a search found, or has found so far."""

    def __init__(self, outcome: Outcome, study: "optuna.Study | None" = None) -> None:
        """Take what was read of the search's folder; without `study`, it is opened when a figure needs it."""
        self.outcome = outcome
        """All of it, as plain records."""
        self._study = study

    @property
    def name(self) -> str:
        """The search's name."""
        return self.outcome.name

    @property
    def folder(self) -> Path:
        """The search's folder, with `report.html` in it."""
        return Path(self.outcome.folder)

    @property
    def bundle(self) -> str | None:
        """Folder of the exported model; None if there is none yet."""
        return self.outcome.bundle

    @property
    def winner(self) -> ConfirmedSetting | None:
        """The winning setting with the figures of each of its seeds."""
        return self.outcome.winner

    @property
    def best(self) -> Best | None:
        """The winner's setting and figures; None if no trial was measured."""
        from tune_sentiment.results import facts

        winner = self.outcome.winner
        if winner is None:
            return None
        val_loss = facts.mean(winner.val_losses)
        assert val_loss is not None
        return Best(
            trial=winner.trial,
            setting=dict(winner.setting),
            confirmed=facts.decided(self.outcome) is not None,
            seeds=len(winner.val_losses),
            val_loss=val_loss,
            val_loss_spread=facts.spread(winner.val_losses),
            test_loss=facts.mean(winner.test_losses),
            test_accuracy=facts.mean(winner.test_accuracies),
            test_accuracy_spread=facts.spread(winner.test_accuracies),
            exported_test_accuracy=facts.exported_accuracy(winner),
        )

    @property
    def trials(self) -> "pd.DataFrame":
        """Every trial, best first: the columns of leaderboard.csv, by the trial's number; times are UTC."""
        import pandas as pd

        from tune_sentiment.results.leaderboard import rows

        table = pd.DataFrame(rows(self.outcome))
        if table.empty:
            return table
        for moment in ("started", "ended"):
            table[moment] = pd.to_datetime(table[moment].astype("float64"), unit="s", utc=True)
        table["rank"] = table["rank"].astype("Int64")
        return table.set_index("trial")

    @property
    def confirmed(self) -> "pd.DataFrame":
        """The settings trained again on fresh seeds, lowest mean first, by the number of the trial they come from.

        Columns: is_course, seeds, val_loss and val_loss_spread, search_val_loss (on its own seed in the search),
        test_loss and test_accuracy (means; of the winner and the course's setting only), and the hyperparameters.
        """
        import pandas as pd

        from tune_sentiment.results import facts

        found = [
            {
                "trial": setting.trial,
                "is_course": setting.is_course,
                "seeds": len(setting.val_losses),
                "val_loss": facts.mean(setting.val_losses),
                "val_loss_spread": facts.spread(setting.val_losses),
                "search_val_loss": setting.search_val_loss,
                "test_loss": facts.mean(setting.test_losses),
                "test_accuracy": facts.mean(setting.test_accuracies),
                **setting.setting,
            }
            for setting in facts.confirmed_so_far(self.outcome)
        ]
        return pd.DataFrame(found).set_index("trial") if found else pd.DataFrame()

    @cached_property
    def study(self) -> "optuna.Study":
        """The Optuna study, for its own plots and questions."""
        if self._study is None:
            from tune_sentiment.search.folder import SearchFolder
            from tune_sentiment.search.outcome import open_outcome

            self._study = open_outcome(SearchFolder(self.folder))[1]
        return self._study

    def predictor(self) -> "Predictor":
        """Return the exported model, ready to predict.

        Raises:
            BundleError: if none was exported.
        """
        from tune_sentiment.export.predict import Predictor

        if self.bundle is None:
            raise BundleError(
                f"a model is exported when a search ends: {self.name} is {self.outcome.phase}: finish it with "
                "resume=True, or export one of its trials with `tune_sentiment.export`."
            )
        return Predictor.load(self.bundle)

    def plot_progress(self) -> "Drawing":
        """Draw how the best validation loss fell, each trial as a point coloured by fate."""
        return self._own_figure("progress")

    def plot_curves(self) -> "Drawing":
        """Draw the learning curves, and the rungs at which ASHA compared."""
        return self._own_figure("curves")

    def plot_confirmed(self) -> "Drawing":
        """Draw the confirmed settings: a point for each fresh seed, means and spreads."""
        return self._own_figure("confirmed")

    def plot_slots(self) -> "Drawing":
        """Draw how many trials ran at each moment."""
        return self._own_figure("slots")

    def plot_importance(self) -> "Drawing":
        """Draw which hyperparameters mattered.

        Raises:
            StudyError: here and below, if too few trials can be compared.
        """
        return self._mattered_figure("importance")

    def plot_parallel(self) -> "Drawing":
        """Draw each trial as a line through its hyperparameters, coloured by its loss."""
        return self._mattered_figure("parallel")

    def plot_contour(self, first: str | None = None, second: str | None = None) -> "Drawing":
        """Draw the loss over two hyperparameters, by default the two most important ones."""
        return self._mattered_figure("contour", first, second)

    def plot_slice(self, name: str | None = None) -> "Drawing":
        """Draw the loss over one hyperparameter, by default the most important one."""
        return self._mattered_figure("slice", name)

    def _own_figure(self, kind: Literal["progress", "curves", "confirmed", "slots"]) -> "Drawing":
        from tune_sentiment.results import plots

        return plots.own_figure(self.outcome, kind)

    def _mattered_figure(
        self, kind: Literal["importance", "parallel", "contour", "slice"], *names: str | None
    ) -> "Drawing":
        from tune_sentiment.results import plots

        return plots.mattered_figure(self.outcome, self.study, kind, [name for name in names if name is not None])

    def __repr__(self) -> str:
        from tune_sentiment.results import facts

        return f"<search {self.name!r}, {self.outcome.phase}: {facts.verdict(self.outcome)}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from tune_sentiment.results.notebook import result_view

        return result_view(self.outcome)
