"""`python -m vbert` is the command `vbert`."""

from vbert.console import main

if __name__ == "__main__":
    main()
