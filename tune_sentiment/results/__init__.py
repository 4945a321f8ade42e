"""A study -> insight: the leaderboard, the plots, the report, the live progress."""
