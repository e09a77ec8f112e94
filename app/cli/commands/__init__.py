"""The commands, one module each, named as typed; those of the runtime stand beside the folders."""
