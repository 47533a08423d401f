"""What `theory digits` makes of its measurements: per cell, then sentences, tables, numbers and figures."""
