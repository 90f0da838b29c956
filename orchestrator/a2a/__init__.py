"""Let A2A clients send tasks: the Agent2Agent protocol, version 1.0.

    messages.py    what clients send
    wanted.py      a message becomes a request
    declared.py    what the operator has declared
    shown.py       a task in A2A's words: state, question, artifacts
    operations.py  send, get, list, cancel: each asks what the HTTP API asks
    following.py   wait for a task, and tell it as a stream
    card.py        who we are, and what our agents can do
    faults.py      what goes wrong, in A2A's numbers and names

Served by http/a2a.py, over JSON-RPC and over HTTP+JSON. Tokens, scopes, tenants and rates are the
API's. No SDK is needed: the protocol is JSON over HTTP, and its official client is what the tests
speak with.
"""
