"""Programs of the operator, each behind one command of `comanda`: load test, backup, archive, migration, doctor."""
