"""Front end for coding agents: tools of the Model Context Protocol, each a few verbs."""
