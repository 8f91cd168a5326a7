"""What every HTTP call needs: the edge, parsing, answers, errors, tokens, the description."""
