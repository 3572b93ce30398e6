"""Image files to pixels and back: safe decoding, encoding, colour, framing and structural similarity."""
