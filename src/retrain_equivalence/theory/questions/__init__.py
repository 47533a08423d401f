"""What can be asked: one file per subcommand of `retrain-equivalence theory`, each with a function that answers."""
