#!/bin/sh
# Packages installed in a build must not start their services.
exit 101
