"""What runs print, read from the broker as text that is safe to show."""

from control_plane.output.reader import PAGE_BYTES, Chunk, OutputReader, Tail, Which

__all__ = ["PAGE_BYTES", "Chunk", "OutputReader", "Tail", "Which"]
