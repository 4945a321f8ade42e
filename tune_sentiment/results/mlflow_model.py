"""The model that MLflow keeps of a bundle, as code: MLflow runs this file to load it, and nothing is pickled."""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class SentimentModel(PythonModel):
    """Answers a list of texts, or a table whose one column they are, with a label and a probability for each."""

    def load_context(self, context: Any) -> None:
        """Load the bundle."""
        import tune_sentiment

        self._predictor = tune_sentiment.load(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return the columns `label` and `probability` (of being positive, 0 to 1), a row for each text."""
        answers = self._predictor.predict(list(model_input))
        return pd.DataFrame(
            {"label": [one.label for one in answers], "probability": [one.probability for one in answers]}
        )


set_model(SentimentModel())
