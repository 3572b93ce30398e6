"""The command line: `artbank train | stylize | verify | banks | site | export | demo`."""
