"""The outbox: what the agent decided and saw, kept on disk until the log has it.

``journal`` keeps it, ``publisher`` brings events to the log, ``output_shipper`` brings what runs print,
``heartbeat`` says that the host is there.
"""
