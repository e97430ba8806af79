"""Process truth: starting an attempt's process tree, knowing its members, and ending all of it with proof."""
