"""What programs do with stock: bring in files, look at counts, alerts and movements. It is kept by persistence."""
