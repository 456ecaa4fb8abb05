"""The command line: each verb is a file in commands/, imported when it is called."""
