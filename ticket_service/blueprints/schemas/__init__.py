"""Schemas of requests and answers. They check requests, but only document answers: marshmallow
takes too long to dump thousands of rows."""
