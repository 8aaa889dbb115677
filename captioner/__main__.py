"""``python -m captioner`` and ``torchrun -m captioner``: the same command line."""

from captioner.cli.app import main

if __name__ == "__main__":
    main()
