"""The store on SQLite: one file that only the intake writes, one that the workers share."""
