"""The edge, by Caddy: render.py and static.py say what, releases.py which version, client.py and process.py do it."""
