"""Tests; unit mirrors the packages file by file."""
