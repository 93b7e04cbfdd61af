"""Stock for client programs: imports of files, counts, alerts and movements, stored by the persistence server."""
