"""The built-in data set: scenes drawn by rule, captions by grammar."""
