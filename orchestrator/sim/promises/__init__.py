"""The predicates: one small function for each sentence of docs/PROMISES.md, by subject."""
