"""The bus: everything said to or heard from the broker goes through here, and nothing else imports ``nats``.

``connection`` publishes and connects, ``pull`` reads, ``streams`` declares what the broker keeps.
"""

from runplane.bus.connection import Bus, CompareFailed, Expect, Stored
from runplane.bus.pull import Consumer, Delivery, Message, Reader

__all__ = ["Bus", "CompareFailed", "Consumer", "Delivery", "Expect", "Message", "Reader", "Stored"]
