"""``python -m vcond``."""

from vcond.cli import main

if __name__ == "__main__":
    main()
