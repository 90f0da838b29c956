"""The way in over HTTP: an API for other services, and the console for people.

One process is one app (app.py); scale by more of them, they share nothing but the server.
"""
