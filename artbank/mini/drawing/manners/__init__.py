"""How the painters paint: stroke engine, papers and surfaces, and the sixteen manners."""
