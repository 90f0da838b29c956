"""Let an agent or an editor drive Buckstop by the Model Context Protocol.

    tools.py      what can be called, and what each call asks of the HTTP API
    shapes.py     what goes into a tool and what comes out
    schema.py     the schema of a request
    asking.py     one question to the API, and its refusal as a sentence
    waiting.py    wait for a task, and tell how it goes meanwhile
    resources.py  buckstop://task/... and buckstop://letter/...
    server.py     the official SDK's server, with these tools

Two ways in, one implementation: http/mcp.py answers at /mcp for whoever shows a bearer token,
stdio.py speaks with an editor that has started it. A tool asks the HTTP API, across the network or
inside its own process (inside.py); so scopes, tenants, limits and refusals are the API's.

Needs `pip install 'buckstop[mcp]'`: nothing else of Buckstop imports this package at its start.
"""
