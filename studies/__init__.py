"""Studies of the data and the method. Run as `python -m studies.<name>` from the project's root."""

import stages as stages  # puts src/ first on the path
