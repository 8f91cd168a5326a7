"""The faults. Each is a function of a scene and dice, which returns when the fault has ended."""
