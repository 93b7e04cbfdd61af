"""Final orders that were moved to files: moving, listing; and the files of the store made small again."""
