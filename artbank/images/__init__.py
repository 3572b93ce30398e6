"""Image files to pixels and back: safe decoding, encoding, colours, framing and structural similarity."""
