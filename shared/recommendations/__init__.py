"""Recommendations from what is bought together: the counts of pairs, and the scores that they give."""
