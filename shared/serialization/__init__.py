"""Python values as typed JSON and as signed pickles; README.md beside this file explains when to use which."""
