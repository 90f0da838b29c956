"""More than one Redis: a task lives in one cell, and whoever asks sees all of them.

A cell is what a deployment was until now: a Redis with its own orchestrators, workers and courier,
none of which knows that there are others. Only those who come from outside choose and look across:

    file.py      which cells there are: the file that BUCKSTOP_CELLS names
    ranking.py   to which of them a task goes
    cell.py      one cell, and whether it is away
    where.py     in which of them something is
    merge.py     many answers as one
    records.py   what is kept in all cells, asked for as if it were one store
    shared.py    what must be the same in all: tokens, subscriptions, caps
    facade.py    Cells, which is used as Buckstop is

Without that file there is one cell, and nothing of this is asked.
"""
