"""``python -m runplane.cli``: the same program as ``runplane``."""

from runplane.cli.main import main

if __name__ == "__main__":
    main()
