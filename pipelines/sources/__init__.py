"""Where logs come from while they are written: Azure Monitor, Kafka and Event Hubs, growing files and blobs."""
