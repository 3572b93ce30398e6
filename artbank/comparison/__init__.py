"""Blinded comparison of outputs: pairs of pictures to vote on, the votes, and the preferences that they show."""
