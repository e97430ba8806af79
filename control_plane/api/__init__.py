"""The HTTP API, version 1, on FastAPI. ``app`` puts it together; each route module is one part of the interface."""
