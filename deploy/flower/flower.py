# ruff: noqa: INP001 -- no package: Flower reads this file by its path
"""Flower's settings in containers. Its pages and its API ask for the login alike."""

from pathlib import Path

address = "0.0.0.0"  # noqa: S104 -- inside a container; what is published says docker-compose.yml
port = 5555
tasks_columns = "name,args,state,result,kwargs,received,runtime,worker,uuid"
basic_auth = [Path("/run/secrets/flower_login").read_text(encoding="utf-8").strip()]
