"""Telling people: who is told of what, by signed webhooks or through apprise, tried again and recorded.

``configuration`` reads the file, ``policy`` decides (who, and when to try again), ``message`` says what is told,
``signing``, ``webhook`` and ``apprise_target`` send it. ``notifier`` turns events into notifications that are due,
``deliveries`` carries them out. The broker keeps what is due; nothing is in memory alone.
"""

from control_plane.notifications.configuration import Configuration
from control_plane.notifications.deliveries import Deliveries
from control_plane.notifications.notifier import Notifier

__all__ = ["Configuration", "Deliveries", "Notifier"]
