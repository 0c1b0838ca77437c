"""Use cases of deployments, by what they are about: finding, starting, running, serving."""
