"""The predicates: one small function for each sentence of PROMISES.md, by what they are about."""
