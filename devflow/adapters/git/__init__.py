"""Git by its command line: address.py and render.py decide, run.py runs, failures.py explains, client.py does it."""
