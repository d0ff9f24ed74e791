"""The stages of an update, one file each. A stage is a function of the context and of what came before."""
