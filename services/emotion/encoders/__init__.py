"""wav2vec 2.0 and WavLM, run for throughput: packed windows, no padding, and no layer after the last that is read."""
