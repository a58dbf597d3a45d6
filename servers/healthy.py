"""Whether a server responds at the URL given: exit code 0 or 1. The image has no curl."""

import sys
from urllib.request import urlopen

try:
    with urlopen(sys.argv[1], timeout=5) as response:
        sys.exit(0 if response.status == 200 else 1)
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
