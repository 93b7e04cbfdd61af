"""Archives of final orders: moves orders to files, lists them, and compacts the store."""
