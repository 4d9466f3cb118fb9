"""Mutation testing: the small faults in the code that no test notices.

Each mutant runs in a forked child of a process that has collected the tests, and runs only the
tests that execute the changed line, fastest first. Nothing on disk is changed.
"""
