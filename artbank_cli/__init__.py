"""The command line: `artbank train | stylize | banks | export | demo`."""
