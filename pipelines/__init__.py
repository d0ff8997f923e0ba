"""How data gets there: the graph, sources, sinks, the command line. Only here: Beam, Azure, Kafka, network."""
