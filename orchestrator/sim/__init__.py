"""The simulation: the whole system in one thread, with faults drawn from a seed."""
