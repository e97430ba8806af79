"""The watch: what runs report of themselves, and what can be seen of them from outside."""
