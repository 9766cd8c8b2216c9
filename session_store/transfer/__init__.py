"""Sessions on the move: to a file and back, and from one store to another.

All of it is made of the port's own calls, so any back end can be either side. Nothing here changes
what a session is: versions, numbers, times and texts arrive as they were, expired or not.
"""

from __future__ import annotations
