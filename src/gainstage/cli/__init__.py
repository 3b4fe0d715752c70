"""The command line: parse, call, print. Nothing here imports a framework before a command needs one."""
