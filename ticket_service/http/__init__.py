"""What all HTTP calls share: the edge, parsing, responses, errors, tokens, OpenAPI."""
