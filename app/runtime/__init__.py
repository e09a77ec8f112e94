"""Background process of a home: dispatcher, duties, control server and change feed."""
