"""Commands, most of them in a folder for their section of `taskdeck help`."""
