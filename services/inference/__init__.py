"""The Open Inference Protocol over HTTP in front of `services.emotion`."""
