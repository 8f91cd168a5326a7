"""HTTP: one file a resource; each route parses, calls one service and answers."""
