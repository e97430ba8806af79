"""The dashboard: pages on the same application, live from the read model. Called by the API's ``create_app`` alone.

``live`` keeps the rows of the table, ``runs_page`` and ``run_page`` are the pages, ``actions`` the buttons and their
dialogs, ``words`` puts figures into words, ``frame`` is what all pages share. Everything that a run printed or said is
set as text, never as markup.
"""

from control_plane.dashboard.mount import mount

__all__ = ["mount"]
