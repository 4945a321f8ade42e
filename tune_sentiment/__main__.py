"""Run the command line with `python -m tune_sentiment`."""

from tune_sentiment.cli import main

if __name__ == "__main__":
    main()
