"""`python -m retrain_equivalence`: the command line where scripts are not on the path."""

from retrain_equivalence.cli.app import main

if __name__ == "__main__":
    main()
