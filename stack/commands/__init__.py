"""The commands of `aforo`, a file for one or two. Put here: options, tables, exit codes. Keep out: rules.

Each file has `register(app)`; heavy libraries are imported inside the functions, since `aforo --help` loads every file.
"""
