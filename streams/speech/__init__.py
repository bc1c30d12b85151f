"""Arrays in, arrays out: decoding, resampling, voice activity."""
