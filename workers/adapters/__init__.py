"""Put an existing agent under the meter, without rewriting it.

    from workers.adapters.pydantic_ai import from_pydantic_ai

    from_pydantic_ai("research", my_agent, confidence=lambda output: output.confidence)

One function for each framework, all of one shape: a name, the agent as it is, and the terms on
which it is taken in (terms.py). It is registered like any `@agent`.

    function                  takes                         extra            module
    from_pydantic_ai          pydantic_ai.Agent             pydantic-ai      pydantic_ai.py
    from_openai_agents        agents.Agent                  openai-agents    openai_agents.py
    from_langgraph            a compiled graph              langgraph        langgraph.py
    from_callable             any function of one argument  none             function.py
    as_agent                  a Celery task                 none             celery.py

Each meters at the framework's own model interface, through tap.py, so that every call passes it:
tool loops, sub-agents, streams. What cannot be seen there, or not be bounded, is refused under a
ceiling of tokens or usd with a reason (bounds.py); each module says what that is. A ceiling of
calls alone needs no bound: every request is one call, and is counted.
"""
