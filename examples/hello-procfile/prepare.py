"""The release phase: runs once before the new version takes over, and stops the release when it fails."""

import os
import sys

if os.environ.get("FAIL_RELEASE"):
    sys.exit("FAIL_RELEASE is set, so this release stops here and the old version keeps serving.")
print("Release phase done: nothing to migrate.")
