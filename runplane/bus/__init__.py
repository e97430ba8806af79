"""The bus: everything said to or heard from the broker goes through here, and nothing else imports ``nats``.

``connection`` publishes and connects, ``pull`` reads, ``objects`` keeps what is large, ``streams`` declares what the
broker keeps.
"""

from runplane.bus.connection import Bus, CompareFailed, Expect, Stored
from runplane.bus.objects import FileChanged, digest_of
from runplane.bus.pull import Consumer, Delivery, Message, Reader

__all__ = [
    "Bus",
    "CompareFailed",
    "Consumer",
    "Delivery",
    "Expect",
    "FileChanged",
    "Message",
    "Reader",
    "Stored",
    "digest_of",
]
