"""The command line: `artbank train | stylize | verify | banks | export | demo`."""
